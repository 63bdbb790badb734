"""Labs go out by the calendar: the course service looks each minute which lab is open and not out yet.

What it looks at is the record of releases, so after an outage the next look catches up, and no lab goes out twice. A
lab that is out is never touched: what students have is replaced by an erratum, which a person writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta

from autograder.build.released import was_released
from autograder.course import Course, Instance, load_course
from autograder.schedule import Opening, followed, schedule
from autograder.service.jobs import State
from autograder.service.queue import JobQueue

SETTING = "calendar"
"""The setting of instance.toml that says `on` where labs go out by themselves."""
WHO = "the calendar"
RETRIES = (timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=1))
"""How long a release is left alone after it failed once, twice and more often: another release may just have been
running, or the lab needs to be mended by a person."""
log = logging.getLogger(__name__)


def is_on(instance: Instance) -> bool:
    """Whether labs of this instance go out by the calendar."""
    return instance.setting(SETTING, "off") == "on"


def to_come(instance: Instance, course: Course) -> list[Opening]:
    """The labs that were never released, by the time they open."""
    return [opening for opening in schedule(course) if not was_released(instance, opening.lab.id)]


def next_opening(instance: Instance, course: Course) -> Opening | None:
    """What the calendar releases next; None where it is off or has nothing left to do."""
    return next(iter(to_come(instance, course)), None) if is_on(instance) else None


def overdue(instance: Instance, course: Course, moment: datetime) -> list[str]:
    """Ids of labs that are open at a moment, built, and not out. One that is not built waits for its build."""
    return [
        opening.lab.id
        for opening in to_come(instance, course)
        if opening.opens <= moment and instance.bundle(opening.lab.id).is_file()
    ]


class ReleaseClock:
    """Queues the release of what is overdue. Call `start` inside the event loop and `stop` before it ends."""

    def __init__(self, instance: Instance, queue: JobQueue, seconds: float = 60) -> None:
        self.instance, self.queue, self.seconds = instance, queue, seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            self.queue.forget()
            try:
                self.look(datetime.now(UTC), await asyncio.to_thread(self._overdue))
            except Exception:  # whatever it was, as a file that is being edited, the next look may go well
                log.exception("the calendar could not be followed; the next look is in %s s", self.seconds)
            await asyncio.sleep(self.seconds)

    def _overdue(self) -> list[str]:
        if not is_on(self.instance):
            return []
        return overdue(self.instance, followed(load_course(), self.instance), datetime.now(UTC))

    def look(self, now: datetime, labs: list[str]) -> None:
        """Queue the release of these labs, unless that is queued already or has just failed."""
        for lab in labs:
            command = ["release", lab]
            before = [job for job in self.queue.jobs if job.command == command]
            if any(job.state is State.RUNNING or (job.open and job.first) for job in before):
                continue
            failed = [job for job in before if job.state is State.FAILED and job.who == WHO]
            rest = RETRIES[min(len(failed), len(RETRIES)) - 1]
            if failed and now - datetime.fromisoformat(failed[-1].ended) < rest:
                continue
            self.queue.add(f"publish {lab} by the calendar", command, WHO, first=True)
