"""Collecting from the exchange: other people's folders, links, odd names, times that were made up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from autograder.course import COURSE_ID
from autograder.errors import IntakeError
from autograder.grade.collect import collect_lab
from autograder.grade.course_grade import grade_lab
from autograder.grade.intake import TIMESTAMP
from tests.conftest import MiniLab

STUDENT = "nobody"
"""An account that every Debian has."""
OTHER = "daemon"


@pytest.fixture
def exchange(fresh_mini: MiniLab, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of hand-ins, as nbgrader makes it. Owners are compared only as root, who can give folders away."""
    accounts = "unix" if os.geteuid() == 0 else "shared"
    fresh_mini.instance.settings_file.write_text(f'accounts = "{accounts}"\n')
    inbound = fresh_mini.instance.exchange / COURSE_ID / "inbound"
    inbound.mkdir(parents=True)
    yield inbound


def now() -> datetime:
    """The time as names of hand-ins have it."""
    return datetime.now(UTC).replace(tzinfo=None)


def hand_in(inbound: Path, mini: MiniLab, student: str, owner: str, when: datetime | None = None) -> Path:
    """A hand-in as `nbgrader submit` leaves it."""
    stamp = f"{when or now():%Y-%m-%d %H:%M:%S.%f} UTC"
    folder = inbound / f"{student}+{mini.lab.id}+{stamp}+abc"
    folder.mkdir()
    nbformat.write(mini.reference(), folder / "01-Scale.ipynb")
    (folder / TIMESTAMP).write_text(stamp)
    (folder / "submission_secret.txt").write_text("0" * 128)
    for path in (folder, *folder.iterdir()):
        give(path, owner)
    return folder


def give(folder: Path, owner: str) -> None:
    """Make a folder another account's, where that is possible."""
    if os.geteuid() == 0:
        shutil.chown(folder, owner)


def test_a_hand_in_is_collected_and_graded(exchange: Path, fresh_mini: MiniLab) -> None:
    hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == [STUDENT]
    folder = fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id
    assert sorted(path.name for path in folder.iterdir()) == [
        "01-Scale.ipynb",
        "submission_secret.txt",
        TIMESTAMP,
    ]
    (graded,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert graded.score == 90.0
    # feedback is published under a name made from this secret
    assert (folder / "submission_secret.txt").read_text() == "0" * 128


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder somebody else's")
def test_a_folder_in_anothers_name_is_left_out(exchange: Path, fresh_mini: MiniLab) -> None:
    hand_in(exchange, fresh_mini, STUDENT, OTHER)
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == []
    hand_in(exchange, fresh_mini, STUDENT, STUDENT, now() - timedelta(seconds=30))
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == [STUDENT]


def test_links_and_folders_stay_behind(exchange: Path, fresh_mini: MiniLab, tmp_path: Path) -> None:
    """A link to the instructor's notebook would be full marks."""
    folder = hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    solved = fresh_mini.instance.source / fresh_mini.lab.id / "01-Scale.ipynb"
    (folder / "01-Scale.ipynb").unlink()
    (folder / "01-Scale.ipynb").symlink_to(solved)
    (folder / "deep").mkdir()
    os.link(folder / TIMESTAMP, folder / "hard")
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == [STUDENT]
    collected = fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id
    assert sorted(path.name for path in collected.iterdir()) == ["submission_secret.txt", TIMESTAMP]


def test_a_folder_that_is_a_link_is_no_hand_in(exchange: Path, fresh_mini: MiniLab) -> None:
    name = f"{STUDENT}+{fresh_mini.lab.id}+{now():%Y-%m-%d %H:%M:%S.%f} UTC+abc"
    (exchange / name).symlink_to(fresh_mini.instance.source / fresh_mini.lab.id)
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == []


@pytest.mark.parametrize(
    "name",
    [
        "x+{lab}+no time+a",
        "x+{lab}+99999999999920269999999999999m_NaN68+a",
        "x+{lab}+0001-01-01 00:00:00.0 UTC+a",
        "../x+{lab}+2027-01-01 00:00:00 UTC+a",
        "+{lab}+y",
        "a b+{lab}+1+2",
    ],
)
def test_a_folder_with_an_odd_name_keeps_nobody_waiting(
    exchange: Path, fresh_mini: MiniLab, name: str
) -> None:
    (exchange / name.format(lab=fresh_mini.lab.id).replace("/", "%")).mkdir()
    hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    assert collect_lab(fresh_mini.instance, fresh_mini.lab.id) == [STUDENT]


@pytest.mark.parametrize("claimed", [timedelta(days=-3), timedelta(days=3)])
def test_a_time_that_was_made_up_counts_as_of_the_disk(
    exchange: Path, fresh_mini: MiniLab, claimed: timedelta
) -> None:
    hand_in(exchange, fresh_mini, STUDENT, STUDENT, now() + claimed)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    text = (fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id / TIMESTAMP).read_text()
    counted = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f UTC")
    assert abs(counted - now()) < timedelta(minutes=1)


def test_work_that_is_changed_in_place_counts_as_of_the_change(exchange: Path, fresh_mini: MiniLab) -> None:
    """The folder's own time stays when a file in it is written again."""
    folder = hand_in(exchange, fresh_mini, STUDENT, STUDENT, now() - timedelta(days=2))
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    record = fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id / TIMESTAMP
    first = record.read_text()
    (folder / "01-Scale.ipynb").write_bytes((folder / "01-Scale.ipynb").read_bytes() + b" ")
    shutil.rmtree(record.parent)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert record.read_text() > first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file somebody else's")
def test_a_file_that_somebody_else_put_into_a_hand_in_is_left_out(
    exchange: Path, fresh_mini: MiniLab
) -> None:
    folder = hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    for path in folder.iterdir():
        give(path, STUDENT)
    give(folder / "01-Scale.ipynb", OTHER)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    collected = fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id
    assert sorted(path.name for path in collected.iterdir()) == ["submission_secret.txt", TIMESTAMP]


def test_a_hand_in_has_an_end(exchange: Path, fresh_mini: MiniLab) -> None:
    """Sparse files cost the student nothing."""
    folder = hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    for number in range(12):
        with (folder / f"sparse{number}").open("wb") as file:
            file.truncate(19 << 20)
        give(folder / f"sparse{number}", STUDENT)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    collected = fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id
    assert sum(path.stat().st_size for path in collected.iterdir()) <= 110 << 20


def test_an_honest_time_is_kept(exchange: Path, fresh_mini: MiniLab) -> None:
    folder = hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    text = (fresh_mini.instance.submitted / STUDENT / fresh_mini.lab.id / TIMESTAMP).read_text()
    assert text == folder.name.split("+")[2]


def test_a_newer_hand_in_replaces_the_older_and_the_older_is_kept(
    exchange: Path, fresh_mini: MiniLab
) -> None:
    hand_in(exchange, fresh_mini, STUDENT, STUDENT, now() - timedelta(seconds=60))
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    hand_in(exchange, fresh_mini, STUDENT, STUDENT)
    collect_lab(fresh_mini.instance, fresh_mini.lab.id)
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert len(list((fresh_mini.instance.received / STUDENT).iterdir())) == 2


def test_without_an_exchange_there_is_one_clear_error(fresh_mini: MiniLab) -> None:
    with pytest.raises(IntakeError, match=r"Lab-0\.1-Mini could not be collected"):
        collect_lab(fresh_mini.instance, fresh_mini.lab.id)
