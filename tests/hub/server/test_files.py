"""Are files of the deployment made once, brought along by an update, and old backups removed?"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from autograder.course import Instance
from hub_config.as_course import as_course
from hub_config.errors import HubError
from hub_config.server import backups, course_files
from hub_config.server.backups import remove_old, take_backup
from hub_config.server.course_files import (
    jupyter_is_current,
    make_instance,
    write_instance_settings,
    write_jupyter,
)
from hub_config.server.databases import place_of
from tests.hub.server.deployment import Deployment


@pytest.fixture(autouse=True)
def no_other_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The course's account is whoever runs the tests."""
    monkeypatch.setattr(course_files, "as_course", lambda _, *rest: as_course("", *rest))


def test_update_keeps_grades(deployment: Deployment) -> None:
    course = deployment.settings.course
    (course.instance / "gradebook.db").write_text("grades")
    course.checkout.rename(course.checkout.with_name("checkout.old"))
    (course.checkout / "build").mkdir(parents=True)  # as a fresh copy has it
    earlier = course.checkout.with_name("checkout.old") / "build" / "course-until-2027"
    earlier.mkdir()
    (earlier / "gradebook.db").write_text("earlier grades")
    make_instance(deployment.settings)
    assert (course.instance / "gradebook.db").read_text() == "grades"
    assert (course.instance.with_name("course-until-2027") / "gradebook.db").is_file()
    make_instance(deployment.settings)
    assert (course.instance / "gradebook.db").read_text() == "grades"


def test_instance_settings_name_gradebook_and_exchange(deployment: Deployment) -> None:
    assert not write_instance_settings(deployment.settings, dry=True)
    write_instance_settings(deployment.settings)
    assert write_instance_settings(deployment.settings, dry=True)
    # what the class has set is not the deployment's to lose
    instance = Instance(deployment.settings.course.instance)
    for name, value in (("path", "practical"), ("starts", "2027-09-06"), ("calendar", "on")):
        instance.set(name, value)
    assert write_instance_settings(deployment.settings, dry=True)
    # however somebody wrote it
    text = instance.settings_file.read_text().replace("exchange = ", "exchange=")
    instance.settings_file.write_text(text.replace(str(deployment.settings.course.exchange), "/elsewhere"))
    assert not write_instance_settings(deployment.settings, dry=True)
    write_instance_settings(deployment.settings)
    assert instance.setting("exchange", "") == deployment.settings.course.exchange
    assert [instance.setting(name, "") for name in ("path", "starts", "calendar")] == [
        "practical", "2027-09-06", "on",
    ]  # fmt: skip
    instance = Instance(deployment.settings.course.instance)
    assert instance.gradebook_url == deployment.settings.databases.gradebook
    assert str(instance.exchange) == deployment.settings.course.exchange


def test_jupyter_configuration_is_copied_and_mended(tmp_path: Path) -> None:
    target = tmp_path / "jupyter"
    assert not jupyter_is_current(target)
    write_jupyter(target)
    assert jupyter_is_current(target)
    changed = target / "user" / "nbgrader_config.py"
    changed.write_text(changed.read_text() + "#")
    assert not jupyter_is_current(target)
    write_jupyter(target)
    assert jupyter_is_current(target)
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*")} == {0o755, 0o644}


def test_newest_backups_stay_and_strangers_are_left_alone(tmp_path: Path) -> None:
    names = [f"2026-11-{day:02}T033000Z" for day in range(1, 8)]
    others = ["2026-10-01T033000Z.partial", "notes", "2026"]
    for name in names + others:
        (tmp_path / name).mkdir()
    (tmp_path / "2025-01-01T000000Z").symlink_to(tmp_path / "notes")
    removed = remove_old(tmp_path, 3)
    assert [path.name for path in removed] == names[:4]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*names[4:], *others, "2025-01-01T000000Z"}
    assert remove_old(tmp_path, 3) == []


def test_failed_backup_removes_nothing_and_says_why(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = subprocess.CompletedProcess([], 1, "", "error: there is no gradebook\n")
    monkeypatch.setattr(backups, "subprocess", SimpleNamespace(run=lambda *_, **__: answer))
    with pytest.raises(HubError, match="no backup was taken: error: there is no gradebook"):
        take_backup(deployment.settings)


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("postgresql+psycopg2:///hub?host=/run/postgresql", True),
        ("postgresql+psycopg2://db.example.edu/hub", False),
        ("sqlite:////srv/hub.sqlite", False),
    ],
)
def test_only_databases_of_this_machine_are_made(url: str, there: bool) -> None:
    assert (place_of(url) is not None) is there
