"""The calendar: what it releases and when, that it catches up, releases nothing twice and lets a failure rest."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from autograder.actions import read_actions
from autograder.commands.calendar import calendar
from autograder.commands.release import release
from autograder.course import Course, Instance
from autograder.errors import ConfigurationError
from autograder.service.jobs import State
from autograder.service.queue import JobQueue
from autograder.service.release_clock import (
    RETRIES,
    SETTING,
    WHO,
    ReleaseClock,
    is_on,
    next_opening,
    overdue,
)
from tests.autograder.build.test_publish import LAB
from tests.conftest import MiniLab


@pytest.fixture
def course(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> Course:
    """The small lab with a schedule: it opens on a Monday at eight, in the course's time zone."""
    course = replace(fresh_mini.course, starts=date(2027, 3, 1))
    for name in ("commands.release", "commands.calendar", "service.release_clock"):
        monkeypatch.setattr(f"autograder.{name}.load_course", lambda: course)
    return course


def opens(course: Course) -> datetime:
    """The instant at which the lab opens."""
    return datetime(2027, 3, 1, 8, tzinfo=course.time_zone)


def test_nothing_before_it_opens_then_the_lab_then_nothing_more(fresh_mini: MiniLab, course: Course) -> None:
    instance = fresh_mini.instance
    assert overdue(instance, course, opens(course) - timedelta(seconds=1)) == []
    # an outage of three weeks is caught up
    for late in (timedelta(0), timedelta(weeks=3)):
        assert overdue(instance, course, opens(course) + late) == [LAB]
    done = CliRunner().invoke(release, [LAB, "--instance", str(instance.root)], catch_exceptions=False)
    assert done.exit_code == 0
    assert overdue(instance, course, opens(course) + timedelta(weeks=3)) == []


def test_what_a_person_withdrew_or_never_built_is_left_alone(fresh_mini: MiniLab, course: Course) -> None:
    instance, later = fresh_mini.instance, opens(course) + timedelta(days=1)
    bundle = instance.bundle(LAB).read_bytes()
    instance.bundle(LAB).unlink()
    assert overdue(instance, course, later) == []
    instance.bundle(LAB).write_bytes(bundle)
    CliRunner().invoke(release, [LAB, "--instance", str(instance.root)], catch_exceptions=False)
    published = instance.exchange / "model-compression" / "outbound" / LAB
    published.rename(published.with_name("taken-away"))
    assert overdue(instance, course, later) == []


def test_the_switch_is_kept_and_told(fresh_mini: MiniLab, course: Course) -> None:
    instance, root = fresh_mini.instance, ["--instance", str(fresh_mini.instance.root)]
    instance.settings_file.write_text('exchange = "/srv/x"\n[table]\na = 1\n')
    assert next_opening(instance, course) is None
    shown = CliRunner().invoke(calendar, root, catch_exceptions=False).stderr
    assert "Mon 2027-03-01 08:00" in shown and "wait for: course release" in shown and not is_on(instance)
    for switch in ("on", "on", "off", "on"):
        CliRunner().invoke(calendar, [switch, *root], catch_exceptions=False)
    assert is_on(instance) and instance.setting("exchange", "") == "/srv/x"
    assert instance.settings_file.read_text().count(SETTING) == 1
    assert [one.what for one in read_actions(instance)] == [
        "switched the calendar on", "switched the calendar off", "switched the calendar on",
    ]  # fmt: skip
    opening = next_opening(instance, course)
    assert opening is not None and opening.opens == opens(course)
    with pytest.raises(ConfigurationError, match="there is no instance"):
        CliRunner().invoke(calendar, ["--instance", "/nowhere"], catch_exceptions=False)


def test_the_service_queues_what_is_overdue_once(
    fresh_mini: MiniLab, course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real loop: looks every few milliseconds for a while, on a lab that has been open for long."""
    open_now = replace(course, starts=date(2026, 1, 5))
    monkeypatch.setattr("autograder.service.release_clock.load_course", lambda: open_now)

    async def look(instance: Instance) -> list[list[str]]:
        queue = JobQueue(instance.root / "queue.json", lambda arguments: [sys.executable, "-c", ""])
        clock = ReleaseClock(instance, queue, seconds=0.01)
        clock.start()
        await asyncio.sleep(0.5)
        await clock.stop()
        return [job.command for job in queue.jobs]

    assert asyncio.run(look(fresh_mini.instance)) == []  # it is off
    fresh_mini.instance.set(SETTING, "on")
    assert asyncio.run(look(fresh_mini.instance)) == [["release", LAB]]
    (fresh_mini.instance.root / "queue.json").unlink()

    async def look_at_trouble() -> list[list[str]]:
        """Whatever goes wrong at one look, a later one goes well."""
        trouble = iter([PermissionError("closed"), UnicodeDecodeError("utf-8", b"", 0, 1, "x"), TypeError()])

        def load() -> Course:
            for error in trouble:
                raise error
            return open_now

        monkeypatch.setattr("autograder.service.release_clock.load_course", load)
        return await look(fresh_mini.instance)

    assert asyncio.run(look_at_trouble()) == [["release", LAB]]


def test_a_release_that_failed_rests_before_it_is_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(
            tmp_path / "queue.json", lambda arguments: [sys.executable, "-c", "raise SystemExit(1)"]
        )
        clock = ReleaseClock(Instance(tmp_path), queue)
        queue.start()
        clock.look(datetime.now(UTC), [LAB])
        (job,) = queue.jobs
        while job.open:
            await asyncio.sleep(0.02)
        assert (job.state, job.who) == (State.FAILED, WHO)
        clock.look(datetime.now(UTC), [LAB])
        assert len(queue.jobs) == 1
        now = datetime.now(UTC)
        for number, rest in enumerate((*RETRIES, RETRIES[-1]), start=1):
            clock.look(now + rest - timedelta(seconds=5), [LAB])
            assert len(queue.jobs) == number
            clock.look(now + rest, [LAB])
            assert len(queue.jobs) == number + 1
            now = now + rest
            queue.jobs[-1].state, queue.jobs[-1].ended = State.FAILED, now.isoformat(timespec="seconds")
        await queue.stop()

    asyncio.run(asyncio.wait_for(work(), 30))
