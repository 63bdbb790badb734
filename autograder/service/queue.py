"""The queue of long work: one job at a time, kept on disk, so that a restart of the service loses none.

A job is a `course` command of its own process. The gradebook has one writer, so jobs run one after
another; `course grade` is where work is spread over cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from autograder.actions import WHO_VARIABLE
from autograder.commands.screen import PROGRESS_VARIABLE
from autograder.course import ROOT
from autograder.service.jobs import FORGOTTEN, Job, State, kept_jobs, now, write_jobs
from autograder.service.permissions import INSTANCE_VARIABLE

KEPT = 200
"""Ended jobs that are remembered."""
SHOWN = 4_000
"""Characters of a command's output that are kept, from its end."""
MOST_WAITING = 1_000
"""More than a class hands in for one lab."""
log = logging.getLogger(__name__)


class QueueFull(Exception):
    """No further job is taken until some have ended."""


class JobQueue:
    """The jobs of one instance. Call `start` inside the event loop and `stop` before it ends.

    `file` holds the jobs as JSON. A job that was running when the service ended is run again: each
    command can be repeated without harm. `pause` is how many seconds it rests when the file cannot be written.
    """

    def __init__(
        self, file: Path, run: Callable[[list[str]], list[str]] | None = None, pause: float = 30
    ) -> None:
        self.file, self.pause = file, pause
        self.command_line = run or _course
        self.jobs = kept_jobs(file)
        self.forgotten = ""
        for job in self.jobs:
            if job.state is State.RUNNING:
                job.state, job.started, job.text = State.WAITING, "", ""
        self.progress = file.with_suffix(".progress")
        self._ended_outside: set[int] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work through the queue."""
        self.forget()
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """End the running command; its job stays in the queue."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def add(self, title: str, command: list[str], who: str, *, first: bool = False) -> Job:
        """Queue a command, or return the waiting job that is the same: a second click changes nothing.

        Raises QueueFull when more than `MOST_WAITING` jobs wait.
        """
        for job in self.jobs:
            if job.state is State.WAITING and job.command == command:
                job.first = job.first or first
                return job
        if sum(job.open for job in self.jobs) >= MOST_WAITING:
            raise QueueFull(f"{MOST_WAITING} jobs are waiting already")
        number = max((job.number for job in self.jobs), default=0) + 1
        job = Job(number, title, command, who, now(), first=first)
        self.jobs.append(job)
        self._save()
        self._wake.set()
        return job

    def before(self, job: Job) -> int:
        """How many jobs run before this one."""
        return sum(
            other is not job and (other.state is State.RUNNING or (other.open and other.order < job.order))
            for other in self.jobs
        )

    def view(self) -> list[dict[str, object]]:
        """The jobs, newest first, as JSON can hold them; `progress` is [done, of] where a running one says so."""
        self.forget()
        return [
            {**asdict(job), "progress": self._how_far() if job.state is State.RUNNING else None}
            for job in reversed(self.jobs)
        ]

    def _how_far(self) -> list[int] | None:
        try:
            done, of = self.progress.read_text("ascii").split()
            return [int(done), int(of)]
        except (OSError, ValueError):  # none said yet, or just being written
            return None

    async def _work(self) -> None:
        while True:
            waiting = [job for job in self.jobs if job.state is State.WAITING]
            if not waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            # what a class waits for at a fixed hour goes before what somebody started
            job = min(waiting, key=lambda one: one.order)
            try:
                await self._run(job)
            except OSError:  # as a full disk; what has ended is known until the service ends, the rest waits
                log.exception("the queue could not be kept in %s", self.file)
                if not job.ended:
                    job.state, job.started = State.WAITING, ""
                await asyncio.sleep(self.pause)

    async def _run(self, job: Job) -> None:
        job.state, job.started, job.text = State.RUNNING, now(), ""
        self.progress.unlink(missing_ok=True)
        self._save()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command_line(job.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=ROOT,
                env={**_environment(), WHO_VARIABLE: job.who, PROGRESS_VARIABLE: str(self.progress)},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # one bad job must not stop those behind it
            self._end(job, State.FAILED, f"could not be started: {error}")
            return
        try:
            output = await _said(process, job)
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
            raise
        if process.returncode == -signal.SIGTERM and job.number not in self._ended_outside:
            # somebody ends the whole service, and its command heard of it first; or the command alone: then once more
            self._ended_outside.add(job.number)
            job.state, job.started, job.text = State.WAITING, "", ""
            self._save()
            await asyncio.sleep(1)
            return
        self._end(job, State.DONE if process.returncode == 0 else State.FAILED, output)

    def _end(self, job: Job, state: State, text: str) -> None:
        if job.started <= self.forgotten:
            text = FORGOTTEN
        job.state, job.text, job.ended = state, text[-SHOWN:].strip(), now()
        self._save()

    def _save(self) -> None:
        ended = [job.number for job in self.jobs if not job.open]
        forgotten = set(ended[:-KEPT])
        self.jobs = [job for job in self.jobs if job.number not in forgotten]
        write_jobs(self.file, self.jobs)

    def forget(self) -> None:
        """Blank what jobs said that began before `forget_output` was called; call it now and then."""
        marker = self.file.with_suffix(".forget")
        try:
            if not marker.is_file():
                return
            self.forgotten = max(self.forgotten, marker.read_text("ascii"))
            for job in self.jobs:
                if job.ended and job.started <= self.forgotten:
                    job.text = FORGOTTEN
            self._save()
            # a job that runs is blanked when it ends; a restart runs it again
            if marker.read_text("ascii") == self.forgotten:
                marker.unlink()
        except OSError:  # as a full disk; the marker stays for the next time
            log.exception("what jobs said could not be blanked in %s", self.file)


async def _said(process: asyncio.subprocess.Process, job: Job) -> str:
    """The end of what a command says, kept in the job while it runs, until it has ended."""
    assert process.stdout is not None
    output = b""
    while chunk := await process.stdout.read(1 << 16):
        output = (output + chunk)[-4 * SHOWN :]
        job.text = output.decode(errors="replace")[-SHOWN:]
    await process.wait()
    return output.decode(errors="replace")


def _course(arguments: list[str]) -> list[str]:
    """A `course` command that ends when the service does, even when the service is killed."""
    return ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "autograder", *arguments]


def _environment() -> dict[str, str]:
    """What a command needs; the service's Hub token is not among it."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", INSTANCE_VARIABLE)
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "110",
    }
