"""Run a command and measure it with everything below it: wall time, CPU, memory of its workers.

What a process has waited for is counted in its own CPU (wait4). That leaves out the processes of the
sandbox: bubblewrap is killed and never waits for what it started. Of these, kernels and judges are
counted in the verdicts; templates are counted here, by looking at them now and then. The three together were
97% of what a control group counted over the same run.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from autograder.errors import QualityError

LOOK_SECONDS = 2.0
"""Between two looks at the processes; one look takes some hundredths of a CPU second."""
POLL_SECONDS = 0.02


@dataclass
class Measured:
    """One run of a command. Times in seconds, memory in MiB."""

    output: str
    """Its standard output."""
    seconds: float
    """Wall clock."""
    cpu_seconds: float
    """User and system, its own and that of every process which it waited for; see above."""
    template_cpu_seconds: float
    """Of templates of the sandbox, up to the last look; what they forked is not in it."""
    peak_worker_mb: float
    """Largest sum of PSS over one worker process and all below it. 0 when nobody may read it."""


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command in a folder. Raises QualityError with the end of its error output when it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=errors)
        looking = _Looking(psutil.Process(process.pid))
        try:
            while True:
                done, status, usage = os.wait4(process.pid, os.WNOHANG)
                if done:
                    break
                looking.look()
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.kill()
            raise
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise QualityError(f"{' '.join(command)} failed:\n{errors.read()[-3000:]}")
        return Measured(
            output.read(),
            seconds,
            usage.ru_utime + usage.ru_stime,
            sum(looking.templates.values()),
            looking.peak / 2**20,
        )


class _Looking:
    """Looks at a command's processes every `LOOK_SECONDS`."""

    def __init__(self, top: psutil.Process) -> None:
        self.top = top
        self.templates: dict[tuple[int, float], float] = {}
        self.peak = 0
        self._next = 0.0

    def look(self) -> None:
        """Look, unless the last look was just now."""
        if time.monotonic() < self._next:
            return
        with contextlib.suppress(psutil.Error):
            for worker in workers_of(self.top) or [self.top]:
                family = [worker, *worker.children(recursive=True)]
                self.peak = max(self.peak, sum(_pss(process) for process in family))
                for process in family:
                    self._time(process)
        self._next = time.monotonic() + LOOK_SECONDS

    def _time(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            # a fork of a template has its name and arguments, but not bubblewrap as its parent
            if "/template.py" in process.cmdline() and parent is not None and parent.name() == "bwrap":
                times = process.cpu_times()
                self.templates[process.pid, process.create_time()] = times.user + times.system


def workers_of(client: psutil.Process) -> list[psutil.Process]:
    """The worker processes of a command that judges with more than one, oldest first."""
    return sorted(_workers_of(client), key=lambda process: (process.create_time(), process.pid))


def _workers_of(client: psutil.Process) -> Iterator[psutil.Process]:
    for process in client.children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                yield process


def _pss(process: psutil.Process) -> int:
    """Bytes of memory, each shared page divided by the number of processes that share it."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def machine() -> str:
    """This machine in one line, for a result that names where it was measured."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
