"""Schedules: learning paths, local times across a change of clocks, and a release that catches up but never repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from autograder.build.builder import build_lab
from autograder.build.outbound import destination
from autograder.build.released import read_releases
from autograder.commands import release
from autograder.course import Course, LearningPath, load_course
from autograder.errors import ConfigurationError
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.schedule import follow, followed, moment_of, on_path, opened, schedule
from tests.autograder.build.test_publish import LAB, corrected
from tests.conftest import MiniLab

COURSE = load_course()
ZONES = ["Asia/Taipei", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
MONDAYS = st.integers(0, 800).map(lambda weeks: date(2020, 1, 6) + timedelta(weeks=weeks))


def numbers(course: Course) -> dict[int, list[str]]:
    """The labs of each week, by number."""
    weeks: dict[int, list[str]] = {}
    for lab in course.labs:
        weeks.setdefault(lab.week, []).append(lab.id.split("-")[1])
    return weeks


def test_the_paths_are_those_of_the_overview() -> None:
    assert numbers(on_path(COURSE, "practical")) == {1: ["3.1"], 2: ["3.2"], 3: ["3.3"], 4: ["3.4"]}
    research = numbers(on_path(COURSE, "research"))
    assert len(research) == 10 and [
        sum(len(research[w]) for w in span) for span in (range(1, 4), range(4, 7), range(7, 11))
    ] == [4, 4, 4]
    enterprise = numbers(on_path(COURSE, "enterprise"))
    assert len(enterprise) == 8 and enterprise[4] == ["3.9"] and enterprise[5] == ["3.6"]
    with pytest.raises(ConfigurationError, match="there are: practical, research, enterprise"):
        on_path(COURSE, "fast")


def test_the_whole_course_is_due_when_its_weeks_end() -> None:
    assert [opening.due - opening.opens for opening in schedule(COURSE)] == [
        timedelta(days=6, hours=15, minutes=59)
    ] * 12


@given(MONDAYS, st.sampled_from(ZONES))
def test_labs_open_at_the_same_local_time_all_term(monday: date, zone: str) -> None:
    course = replace(COURSE, starts=monday, time_zone=ZoneInfo(zone))
    openings = schedule(on_path(course, "research"))
    for opening in openings:
        assert opening.opens.time() == time(8) and opening.opens.weekday() == 0
        assert opening.due.time() == time(23, 59) and opening.due.weekday() == 6
        apart = opening.due.astimezone(UTC) - opening.opens.astimezone(UTC)
        assert abs(apart - timedelta(days=6, hours=15, minutes=59)) <= timedelta(hours=1)
    for opening in openings:  # open from that instant on, not a second before
        assert opening.lab in opened(on_path(course, "research"), opening.opens)
        assert opening.lab not in opened(on_path(course, "research"), opening.opens - timedelta(seconds=1))


def test_a_change_of_clocks_moves_the_instant_not_the_local_time() -> None:
    course = on_path(
        replace(COURSE, starts=date(2027, 3, 22), time_zone=ZoneInfo("Europe/Berlin")), "practical"
    )
    assert [opening.opens.astimezone(UTC).hour for opening in schedule(course)] == [7, 6, 6, 6]
    assert schedule(course)[0].due.astimezone(UTC) == datetime(2027, 3, 28, 21, 59, tzinfo=UTC)


@pytest.mark.parametrize("starts", [None, date(2027, 3, 2)])
def test_a_schedule_needs_a_monday(starts: date | None) -> None:
    with pytest.raises(ConfigurationError, match="starts"):
        schedule(replace(COURSE, starts=starts))


def test_moments_are_local_unless_they_say_otherwise() -> None:
    assert moment_of("2027-03-08", COURSE) == datetime(2027, 3, 7, 16, tzinfo=UTC)
    assert moment_of("2027-03-08T00:00+00:00", COURSE) == datetime(2027, 3, 8, tzinfo=UTC)
    assert moment_of("now", COURSE).tzinfo is COURSE.time_zone
    with pytest.raises(ConfigurationError, match="not a date"):
        moment_of("next week", COURSE)


def term(mini: MiniLab) -> Course:
    """The small course with a term and a path of its own."""
    path = LearningPath("short", "One lab in week 2", ((), (LAB,)))
    return replace(mini.course, starts=date(2026, 11, 2), paths=(path,))


@pytest.fixture
def command(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `course release` for the small course with a term."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(release, "load_course", lambda: term(fresh_mini))
        monkeypatch.setenv("COLUMNS", "200")
        return CliRunner().invoke(release.release, [*arguments, "--instance", str(fresh_mini.instance.root)])

    return run


def due_in_gradebook(mini: MiniLab) -> datetime:
    """The due date that lateness is counted from."""
    with open_gradebook(mini.instance) as gradebook, quiet():
        found: datetime = gradebook.find_assignment(LAB).duedate
        return found


def test_a_run_after_an_outage_catches_up_and_a_second_releases_nothing(
    fresh_mini: MiniLab, command: Callable[..., Result]
) -> None:
    assert command("--as-of", "2026-11-01").exit_code == 0
    assert not destination(fresh_mini.instance, LAB).exists()
    assert command("--as-of", "2026-12-24").exit_code == 0  # weeks late
    assert destination(fresh_mini.instance, LAB).is_dir()
    again = command("--as-of", "2026-12-25")
    assert again.exit_code == 0 and "nothing to do" in again.stderr
    assert len(read_releases(fresh_mini.instance)[LAB]) == 1


def test_a_schedule_never_replaces_what_students_have(
    fresh_mini: MiniLab, command: Callable[..., Result], mini_source: Callable
) -> None:
    command("--as-of", "now")
    build_lab(
        load_course(mini_source(corrected) / "course.toml").labs[0], fresh_mini.course, fresh_mini.instance
    )
    done = command("--as-of", "now")
    assert done.exit_code == 0 and "differs from what students have and was left alone" in " ".join(
        done.stderr.split()
    )
    assert len(read_releases(fresh_mini.instance)[LAB]) == 1


def test_a_class_follows_one_path_and_its_due_dates(
    fresh_mini: MiniLab, command: Callable[..., Result]
) -> None:
    assert command("--path", "short", "--as-of", "2026-11-08").exit_code == 0
    assert not destination(fresh_mini.instance, LAB).exists()
    assert followed(term(fresh_mini), fresh_mini.instance).labs[0].week == 2
    assert command("--as-of", "2026-11-09T08:00").exit_code == 0  # the path is known by now
    assert destination(fresh_mini.instance, LAB).is_dir()
    assert due_in_gradebook(fresh_mini) == datetime(2026, 11, 15, 23, 59)
    with pytest.raises(ConfigurationError, match="follows the path 'short', not 'long'"):
        follow(fresh_mini.instance, "long")


def test_a_lab_that_cannot_go_out_does_not_hold_up_the_others(
    fresh_mini: MiniLab, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(fresh_mini.lab, id="Lab-0.2-Unbuilt")
    both = replace(term(fresh_mini), labs=(other, *term(fresh_mini).labs))
    command("--as-of", "2026-11-01")  # which puts the small course in place
    monkeypatch.setattr(release, "load_course", lambda: both)
    arguments = ["--as-of", "2026-12-24", "--instance", str(fresh_mini.instance.root)]
    for _ in range(2):
        done = CliRunner().invoke(release.release, arguments)
        assert done.exit_code != 0 and "Lab-0.2-Unbuilt" in str(done.exception)
        assert "Everything else that is open is out" in str(done.exception)
        assert destination(fresh_mini.instance, LAB).is_dir()


def test_following_a_path_keeps_the_other_settings(fresh_mini: MiniLab) -> None:
    fresh_mini.instance.settings_file.write_text('exchange = "/srv/exchange"\n[table]\nx = 1\n')
    follow(fresh_mini.instance, "short")
    assert fresh_mini.instance.setting("exchange", "") == "/srv/exchange"
    assert fresh_mini.instance.setting("path", "") == "short"
