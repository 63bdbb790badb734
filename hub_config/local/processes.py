"""Every process that a Hub leaves behind, found and ended.

The launcher is the reaper of its descendants: what a student's kernel starts and detaches becomes
the launcher's child when its parent ends, so the tree of the launcher is the whole of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import time
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Run in a new process: it is told to end when the launcher ends, however that comes about."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end_all(processes: list[psutil.Process], patience: float) -> int:
    """Ask the processes to end, wait `patience` seconds, kill the rest; return how many there were."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=2)
    return len(processes)


def end_accounts(numbers: set[int]) -> None:
    """Kill every process of these accounts, also one that forks faster than a list of processes can be read.

    A process of the account itself kills all that it may, in one call of the kernel's.
    """
    for number in numbers:
        for _ in range(100):
            if not any(_belongs_to(process, number) for process in psutil.process_iter()):
                break
            child = os.fork()
            if child == 0:
                with contextlib.suppress(OSError):
                    os.setgroups([])
                    os.setgid(number)
                    os.setuid(number)
                    os.kill(-1, signal.SIGKILL)
                os._exit(0)
            os.waitpid(child, 0)


def _belongs_to(process: psutil.Process, number: int) -> bool:
    try:
        return process.uids().real == number and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def descendants() -> list[psutil.Process]:
    """Every process below this one."""
    return psutil.Process().children(recursive=True)


def reap(own: int | None = None) -> None:
    """Collect adopted children that have ended: a zombie counts against its account's processes.

    `own` is a child that its own `Popen` waits for.
    """
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid != own and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def reap_all(patience: float) -> None:
    """Collect every child, also those that are still on their way out; wait at most `patience` seconds.

    What is not collected here stays a zombie of this machine's first process, which may never ask.
    """
    deadline = time.monotonic() + patience
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)


def remember(file: Path) -> None:
    """Write down this launcher's processes with their start times, for the next one to find."""
    found = [psutil.Process(), *descendants()]
    known = []
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            known.append([process.pid, process.create_time()])
    file.write_text(json.dumps(known), "utf-8")


def left_behind(file: Path, accounts: set[int]) -> list[psutil.Process]:
    """Processes of an earlier launcher that still run: those it wrote down, and all of its accounts'."""
    known = {tuple(pair) for pair in json.loads(file.read_text("utf-8"))} if file.is_file() else set()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = (process.pid, process.create_time()) in known or process.uids().real in accounts
            # a zombie has ended; whoever adopted it has only not asked how
            if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
