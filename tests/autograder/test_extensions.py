"""Extensions and deadlines: what counts, what is refused, what the service is told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from autograder import extensions
from autograder.commands.deadlines import extend
from autograder.course import LatePolicy, load_course
from autograder.errors import ConfigurationError
from autograder.extensions import forget_extensions, give_extension, read_extensions, tell_deadlines
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from tests.conftest import MiniLab


def test_an_extension_replaces_the_earlier_and_can_be_taken_back(fresh_mini: MiniLab) -> None:
    lab, course, instance = fresh_mini.lab, fresh_mini.course, fresh_mini.instance
    for days in (2, 5):
        give_extension(instance, course, lab, "ada", course.due(lab) + timedelta(days=days))
    give_extension(instance, course, lab, "bob", course.due(lab) + timedelta(days=1))
    assert read_extensions(instance)[lab.id]["ada"] == course.due(lab) + timedelta(days=5)
    give_extension(instance, course, lab, "ada", None)
    assert list(read_extensions(instance)[lab.id]) == ["bob"]
    forget_extensions(instance, "bob")
    assert read_extensions(instance) == {}


@pytest.mark.parametrize("shift", [timedelta(0), timedelta(days=-1)])
def test_an_extension_is_later_than_the_deadline(fresh_mini: MiniLab, shift: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="an extension is later"):
        give_extension(
            fresh_mini.instance, fresh_mini.course, fresh_mini.lab, "ada",
            fresh_mini.course.due(fresh_mini.lab) + shift,
        )  # fmt: skip
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        give_extension(fresh_mini.instance, fresh_mini.course, fresh_mini.lab, "../x", None)


def test_a_damaged_file_is_named(fresh_mini: MiniLab) -> None:
    (fresh_mini.instance.root / "extensions.json").write_text("[1]")
    with pytest.raises(ConfigurationError, match=r"extensions\.json is damaged"):
        read_extensions(fresh_mini.instance)


def test_without_a_service_nobody_is_told(fresh_mini: MiniLab) -> None:
    assert tell_deadlines(fresh_mini.instance, fresh_mini.course) == 0


def test_the_command_takes_local_dates_and_days(fresh_mini: MiniLab) -> None:
    course = load_course()
    lab = course.lab("Lab-3.1")
    root = ["--instance", str(fresh_mini.instance.root)]
    for options, until in (
        (["--until", "2027-03-10T18:00"], datetime(2027, 3, 10, 18, 0, tzinfo=course.time_zone)),
        (["--until", "2027-03-10"], datetime(2027, 3, 10, 23, 59, tzinfo=course.time_zone)),
        (["--days", "3"], course.due(lab) + timedelta(days=3)),
    ):
        done = CliRunner().invoke(extend, ["Lab-3.1", "ada", *options, *root], catch_exceptions=False)
        assert done.exit_code == 0 and read_extensions(fresh_mini.instance)[lab.id]["ada"] == until
    with pytest.raises(ConfigurationError, match="--until soon: not a date"):
        CliRunner().invoke(extend, ["Lab-3.1", "ada", "--until", "soon", *root], catch_exceptions=False)
    with pytest.raises(ConfigurationError, match="give one of"):
        CliRunner().invoke(extend, ["Lab-3.1", "ada", *root], catch_exceptions=False)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("graces = 1", "may hold"),
        ("grace_days = -1", "0 or more"),
        ('grace_days = "1"', "0 or more"),
        ("lost_per_day = 1.5", "between 0 and 1"),
        ("closes_after = 0.5", "whole days"),
        ("grace_days = 5.0", "whole days"),
        ("grace_days = inf", "whole days"),
    ],
)
def test_a_policy_that_is_none_is_told(tmp_path: Path, line: str, why: str) -> None:
    text = (Path(__file__).parents[1] / "fixtures" / "mini" / "course.toml").read_text("utf-8")
    (tmp_path / "course.toml").write_text(f"{text}\n[late]\n{line}\n")
    with pytest.raises(ConfigurationError, match=why):
        load_course(tmp_path / "course.toml")


def test_the_course_has_a_policy() -> None:
    assert load_course().late == LatePolicy(grace_days=5, lost_per_day=0.1, closes_after=7)


def test_extensions_given_at_once_all_stay(fresh_mini: MiniLab) -> None:
    lab, course, instance = fresh_mini.lab, fresh_mini.course, fresh_mini.instance
    names = [f"student{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda name: give_extension(instance, course, lab, name, course.due(lab) + timedelta(days=1)),
                names,
            )
        )
    assert sorted(read_extensions(instance)[lab.id]) == sorted(names)


def test_a_name_that_nobody_has_is_told(fresh_mini: MiniLab) -> None:
    """The service matches names exactly: an extension for `Ada` would leave `ada` outside."""
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        gradebook.add_student("ada")
    arguments = ["Lab-3.1", "Ada", "--days", "3", "--instance", str(fresh_mini.instance.root)]
    done = CliRunner().invoke(extend, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "knows no student 'Ada'; did you mean ada?" in done.stderr
    arguments[1] = "ada"
    assert "knows no student" not in CliRunner().invoke(extend, arguments).stderr


def test_who_read_less_is_not_the_last_to_tell(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, course, instance = fresh_mini.lab, fresh_mini.course, fresh_mini.instance
    told: list[set[str]] = []
    first = threading.Event()

    class Slow:
        def set_deadline(self, _lab: str, _due: str, _closes: str | None, students: dict[str, str]) -> None:
            if not first.is_set():
                first.set()
                time.sleep(0.5)  # meanwhile the other one wants to write and to tell
            told.append(set(students))

    monkeypatch.setattr(extensions, "has_service", lambda _: True)
    monkeypatch.setattr(extensions, "service", lambda _: Slow())

    def extend_for(student: str) -> None:
        give_extension(instance, course, lab, student, course.due(lab) + timedelta(days=1))
        tell_deadlines(instance, course)

    one = threading.Thread(target=extend_for, args=("ada",))
    one.start()
    first.wait(10)
    extend_for("bob")
    one.join(10)
    assert told == [{"ada"}, {"ada", "bob"}]
