"""User servers as local processes with a memory limit, for a machine without systemd's help.

JupyterHub's LocalProcessSpawner ignores `mem_limit`. Where the machine's control groups can be
written, each server gets one, and its kernels count with it; everywhere, each process is limited in
its address space and each account in its number of processes.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

CGROUPS = Path("/sys/fs/cgroup")
GROUP = "model-compression-course"
ADDRESS_SPACE = 6 << 30
"""Bytes of address space of one process, as in the grader's sandbox."""
SERVER_LOG = ".jupyter-server.log"
PROCESSES = 512
"""Processes and threads of one account."""


def memory_group(name: str, limit: int) -> Path | None:
    """A control group that holds its processes to `limit` bytes of memory; None where none can be made."""
    parent = (CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "memory") / GROUP
    try:
        parent.mkdir(exist_ok=True)
        if (parent / "cgroup.controllers").exists():
            for folder in (parent.parent, parent):
                (folder / "cgroup.subtree_control").write_text("+memory")
        group = parent / name
        group.mkdir(exist_ok=True)
        current = group / "memory.max"
        (current if current.exists() else group / "memory.limit_in_bytes").write_text(str(limit))
    except OSError:
        return None
    return group


def remove_memory_groups(patience: float = 0.0) -> None:
    """Remove the groups of servers that have ended.

    A killed process leaves its group only when the kernel has taken it down, so `patience` seconds
    are waited for groups that are not empty yet.
    """
    deadline = time.monotonic() + patience
    for root in (CGROUPS, CGROUPS / "memory"):
        for group in [*(root / GROUP).glob("*/"), root / GROUP]:
            while not _removed(group) and time.monotonic() < deadline:
                time.sleep(0.02)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def describe_limit(limit: str) -> str:
    """One line for people: what holds a user's server to its memory here."""
    group = memory_group("probe", 1 << 30)
    remove_memory_groups()
    if group is not None:
        return f"{limit} a server, held by a control group"
    return f"{ADDRESS_SPACE >> 30}G a process; this machine's control groups cannot be written"


def _limit_this_process(group: Path | None) -> None:
    """Runs in the new process before it becomes the user's."""
    if group is not None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)


def _log_at_home() -> None:
    """Runs in the user's home, as the user: what the server says goes there.

    The Hub's own log names where each hand-in lies, and a server would hold it open.
    """
    try:
        log = os.open(SERVER_LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except OSError:  # a full disk, or something of that name: the server must start all the same
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)


class LimitedSpawner(LocalProcessSpawner):
    """One unix account a user."""

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """JupyterHub's change of account, with the limits set first."""
        become_user = super().make_preexec_fn(name)
        group = memory_group(name, self.mem_limit) if self.mem_limit else None

        def prepare() -> None:
            _limit_this_process(group)
            become_user()
            _log_at_home()

        return prepare


class SharedAccountSpawner(SimpleLocalProcessSpawner):
    """Everybody under the Hub's own account: nothing separates users. For trying out."""

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """The limits that an ordinary account can set."""
        home = super().make_preexec_fn(name)

        def prepare() -> None:
            home()
            _limit_this_process(None)
            _log_at_home()

        return prepare
