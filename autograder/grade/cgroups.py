"""Limits of a whole hand-in by the kernel's control groups, where this account may make them.

Both versions are served: v1 has one tree a controller, v2 one for all. Where none can be written (an
ordinary user without a delegated group), nothing is limited here and the sandbox's per-process limits
remain; what is enforced is named in every receipt.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PERIOD = 100_000
"""Microseconds over which a CPU quota is counted."""
PREFIX = "course"
OWN = f"{PREFIX}-self"
"""The child into which this process moves, because only an empty group of version 2 hands controllers down."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Bounds:
    """What one job may use altogether. `memory` in bytes, `processes` a count, `cpus` a number of cores."""

    memory: int
    processes: int
    cpus: float


@dataclass(frozen=True)
class Hierarchy:
    """Where groups are made: the folder of each controller, and the version of its interface."""

    folders: dict[str, Path]
    version: int

    @property
    def enforces(self) -> list[str]:
        """The limits that hold, for a receipt."""
        return sorted(self.folders)

    def make(self, bounds: Bounds) -> Group:
        """A new empty group with these bounds. Raises OSError when the kernel refuses."""
        name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        group = Group(
            {controller: folder / name for controller, folder in self.folders.items()}, self.version
        )
        for folder in set(group.folders.values()):
            folder.mkdir()
        for controller, (file, value) in _settings(bounds, self.version).items():
            if controller in group.folders:
                (group.folders[controller] / file).write_text(value)
        if "memory" in group.folders:
            # swap would let a job go on past its memory, slowly; not every kernel counts it
            file, value = _swap(bounds, self.version)
            with contextlib.suppress(OSError):
                (group.folders["memory"] / file).write_text(value)
        return group

    def sweep(self) -> None:
        """Remove groups that a killed process of the course left behind."""
        for folder in set(self.folders.values()):
            for left in folder.glob(f"{PREFIX}-*-*"):
                owner = re.fullmatch(rf"{PREFIX}-(\d+)-\d+", left.name)
                if owner and not Path(f"/proc/{owner[1]}").exists():
                    with contextlib.suppress(OSError):
                        left.rmdir()


@dataclass(frozen=True)
class Group:
    """One job's control group."""

    folders: dict[str, Path]
    version: int

    def add(self, process: int) -> None:
        """Put a process into the group; what it starts later is in it too."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(process))

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of the group for its memory."""
        folder = self.folders.get("memory")
        if folder is None:
            return False
        file = folder / ("memory.oom_control" if self.version == 1 else "memory.events")
        found = re.search(r"^oom_kill (\d+)", file.read_text(), re.MULTILINE)
        return found is not None and int(found[1]) > 0

    def remove(self, patience: float = 10.0) -> None:
        """Remove the group once its last process is gone. Raises OSError when one stays."""
        deadline = time.monotonic() + patience
        for folder in set(self.folders.values()):
            while True:
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.005)


def _settings(bounds: Bounds, version: int) -> dict[str, tuple[str, str]]:
    quota = str(round(bounds.cpus * PERIOD))
    if version == 1:
        return {
            "memory": ("memory.limit_in_bytes", str(bounds.memory)),
            "pids": ("pids.max", str(bounds.processes)),
            "cpu": ("cpu.cfs_quota_us", quota),
        }
    return {
        "memory": ("memory.max", str(bounds.memory)),
        "pids": ("pids.max", str(bounds.processes)),
        "cpu": ("cpu.max", f"{quota} {PERIOD}"),
    }


def _swap(bounds: Bounds, version: int) -> tuple[str, str]:
    if version == 1:
        return "memory.memsw.limit_in_bytes", str(bounds.memory)
    return "memory.swap.max", "0"


@cache
def hierarchy() -> Hierarchy | None:
    """Where this process may make groups, or None. Looked up once."""
    mounts = Path("/proc/self/mounts").read_text()
    own = Path("/proc/self/cgroup").read_text()
    found = find(mounts, own)
    if found is not None:
        found.sweep()
    return found


def find(mounts: str, own: str) -> Hierarchy | None:
    """The hierarchy that `/proc/self/mounts` and `/proc/self/cgroup` describe, as far as it can be written."""
    paths = {
        name: path
        for line in own.splitlines()
        for _, names, path in [line.split(":", 2)]
        for name in names.split(",")
    }
    folders: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified = Path(place + paths.get("", "/"))
            if unified.name == OWN:  # a worker starts where its command has moved to
                unified = unified.parent
        elif kind == "cgroup":
            for controller in ("memory", "pids", "cpu"):
                if controller in options.split(",") and controller in paths:
                    folders[controller] = Path(place + paths[controller])
    first = {controller: folder for controller, folder in folders.items() if _may_make(folder)}
    if first:
        return Hierarchy(first, 1)
    if unified is not None and _may_make(unified):
        enabled = _enable(unified)
        if enabled:
            return Hierarchy(dict.fromkeys(enabled, unified), 2)
    return None


def _may_make(folder: Path) -> bool:
    """Try: the mount may be read-only although its folders look writable."""
    probe = folder / f"{PREFIX}-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _enable(folder: Path) -> list[str]:
    """Hand the controllers of a v2 group down to its children; they are handed down only by an empty group."""
    available = (folder / "cgroup.controllers").read_text().split()
    wanted: list[str] = [name for name in ("memory", "pids", "cpu") if name in available]
    control = folder / "cgroup.subtree_control"
    if wanted and not set(wanted) <= set(control.read_text().split()):
        own = folder / OWN
        try:
            own.mkdir(exist_ok=True)
            (own / "cgroup.procs").write_text(str(os.getpid()))
            control.write_text(" ".join(f"+{name}" for name in wanted))
        except OSError:  # another program shares the group: systemd's Delegate=yes gives one of one's own
            return []
    return wanted
