"""What grading could leave on this machine: processes, mounts, control groups, files."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE = 5.0
"""Seconds in which what has been killed may still be going."""
GROUPS = Path("/sys/fs/cgroup")
Process = tuple[int, float]
_accounts: set[int] = set()
"""Accounts that processes below this one have been seen under, but its own."""


@dataclass(frozen=True)
class Traces:
    """Everything that is there at one moment."""

    processes: frozenset[Process]
    things: frozenset[str]


def traces() -> Traces:
    """What is there now."""
    things = {f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines()}
    # os.walk, because folders of other gradings go while they are listed
    groups = (f"{top}/{name}" for top, folders, _ in os.walk(GROUPS) for name in folders)
    things |= {f"group {path}" for path in groups if _ours(Path(path).name)}
    things |= {f"file {path}" for path in Path(tempfile.gettempdir()).iterdir()}
    shared = (path for top in ("/tmp", "/dev/shm") for path in Path(top).iterdir())
    things |= {f"file {path}" for path in shared if _of_the_sandbox(path)}
    return Traces(frozenset(_processes()), frozenset(things))


def what_stayed(before: Traces) -> list[str]:
    """What is there and was not before; what has been killed gets a moment to go."""
    deadline = time.monotonic() + PATIENCE
    while True:
        now = traces()
        found = sorted(now.things - before.things)
        found += [f"process {_describe(process)}" for process in now.processes - before.processes]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _processes() -> set[Process]:
    """Processes below this one, and those whose parents are gone; what others on this machine started is theirs."""
    family = {process.pid: process for process in psutil.process_iter(["ppid", "create_time"])}
    found = set()
    for process in family.values():
        above: list[int] = []
        pid = process.pid
        while pid in family and pid not in (os.getpid(), 1) and len(above) < 100:
            above.append(pid)
            pid = family[pid].info["ppid"]
        if above and pid == os.getpid():
            with contextlib.suppress(psutil.Error):
                _accounts.update({process.uids().real} - {os.getuid()})
        if above and (pid == os.getpid() or (pid == 1 and _is_orphan(family[above[-1]]))):
            found.add((process.pid, process.info["create_time"]))
    return found


def _is_orphan(process: psutil.Process) -> bool:
    """Whether a child of the machine's first process runs under an account of this process's sandboxes."""
    try:
        return process.uids().real in _accounts
    except psutil.Error:
        return False


def _ours(name: str) -> bool:
    """Whether this is a control group of this process or of none: those of other gradings come and go."""
    owner = re.match(r"course-(\d+)-", name)
    if not name.startswith("course-"):
        return False
    return owner is None or int(owner[1]) == os.getpid() or not psutil.pid_exists(int(owner[1]))


def _of_the_sandbox(path: Path) -> bool:
    try:
        return path.lstat().st_uid in _accounts  # other programs of this machine use these folders too
    except OSError:
        return False


def _describe(process: Process) -> str:
    try:
        return f"{process[0]} {' '.join(psutil.Process(process[0]).cmdline())[:100]}"
    except psutil.Error:
        return f"{process[0]} (gone)"
