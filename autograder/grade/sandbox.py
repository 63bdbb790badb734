"""What a hand-in's processes may see and use, as a command line for bubblewrap.

What the kernel of a student sees: /usr and the student environment, read-only; its own empty /proc, /dev,
/tmp and /box (sized tmpfs); one folder with its sockets. It has its own user, pid, ipc, network and mount
namespaces, no capabilities, a filter of system calls, and never runs as root. The judge runs in a second
sandbox of the same kind, under another account, with the course's code and held-out data read-only.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from autograder.course import ROOT
from autograder.errors import SandboxError
from autograder.grade.cgroups import Bounds, hierarchy

FIRST_ACCOUNT = 200_000
"""As root, each slot's processes run as account numbers of their own from here on, because limits on the
number of processes count per account: an even one for kernels, the next for judges."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one notebook's kernel. Times in seconds, sizes in MiB."""

    cell_seconds: int = 90
    """Wall clock of one student cell."""
    check_seconds: int = 45
    """Wall clock of one call from a check."""
    notebook_seconds: int = 600
    """Wall clock of the whole notebook."""
    cpu_seconds: int = 600
    """Of each process."""
    memory: int = 4096
    """Of all the hand-in's processes, by control group."""
    address_space: int = 6144
    """Of each process, where there is no control group."""
    disk: int = 256
    """Of /tmp, /box and /dev/shm, each."""
    file: int = 128
    processes: int = 256
    open_files: int = 256

    def rlimits(self, *, grouped: bool) -> dict[str, int]:
        """Limits of each process by the names of setrlimit(2). `grouped`: a control group counts the memory."""
        limits = {
            "CPU": self.cpu_seconds,
            "FSIZE": self.file << 20,
            "NPROC": self.processes,
            "NOFILE": self.open_files,
            "CORE": 0,
        }
        return limits if grouped else {**limits, "AS": self.address_space << 20}

    def bounds(self) -> Bounds:
        """The same for the control group: one core, so that a hand-in takes nothing from its neighbours."""
        return Bounds(self.memory << 20, self.processes, cpus=1.0)


@dataclass(frozen=True)
class Sandbox:
    """How kernels are started on this machine. `unsafe` starts them without bubblewrap, for development.

    `warm` forks them from a process that has imported the libraries; without it each is started afresh.
    """

    limits: Limits = Limits()
    unsafe: bool = False
    warm: bool = True

    def describe(self, *, nested: bool) -> str:
        """One line for verdicts and receipts: which limits applied."""
        found = hierarchy()
        groups = f"cgroup v{found.version} ({', '.join(found.enforces)})" if found else "no cgroup"
        if self.unsafe:
            return f"none (--unsafe-no-sandbox), rlimits, {groups}"
        start = "warm start" if nested else "fresh start"
        return f"bubblewrap, seccomp, rlimits, {groups}, {start}"


def bubblewrap(account: int | None, mounts: list[str], inner: list[str], *, nested: bool) -> list[str]:
    """The command line that starts `inner` in a sandbox with `mounts`, further arguments of bubblewrap.

    `account` is the number to run as when this is root. A nested sandbox may make namespaces of its own,
    which the template needs for its forks and takes from them; it runs nothing of a hand-in itself.
    Raises SandboxError when bubblewrap is missing.
    """
    command = []
    if account is not None:
        group = FIRST_ACCOUNT + (account - FIRST_ACCOUNT) // 2 * 2
        command = [
            require("setpriv", "util-linux"),
            f"--reuid={account}",
            f"--regid={group}",
            "--clear-groups",
            "--no-new-privs",
        ]
    command += [require("bwrap", "bubblewrap"), "--unshare-all", "--unshare-user", "--die-with-parent"]
    command += ["--new-session", "--cap-drop", "ALL", "--clearenv", "--hostname", "sandbox"]
    if not nested:
        command += ["--disable-userns"]
    for name, value in environment("/box").items():
        command += ["--setenv", name, value]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for path in readable_paths():
        command += ["--ro-bind-try", path, path]
    command += [*mounts, "--remount-ro", "/dev", "--remount-ro", "/"]  # unsized tmpfs of bubblewrap's own
    return [*command, "--chdir", "/", "--", *inner]


def sized_folders(disk: int) -> list[str]:
    """Arguments for the folders that can be written in; `disk` in MiB, each."""
    return [
        part
        for folder in ("/dev/shm", "/tmp", "/box")
        for part in ("--size", str(disk << 20), "--tmpfs", folder)
    ]


def require(tool: str, package: str) -> str:
    """Path of a system tool. Raises SandboxError naming the Debian package."""
    path = shutil.which(tool, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if path is None:
        raise SandboxError(
            f"{tool} is not installed, so hand-ins cannot be isolated. Run as root: apt-get install -y {package} "
            "(or pass --unsafe-no-sandbox on a machine where you trust every hand-in)"
        )
    return path


def student_environment() -> Path:
    """The environment that students and the sandbox share: libraries and labkit, nothing of staff's."""
    folder = (ROOT / ".venv").resolve()
    if not (folder / "bin" / "python").exists():
        raise SandboxError(f"{ROOT / '.venv'} is missing: run 'make setup'")
    return folder


def environment(home: str) -> dict[str, str]:
    """Everything a student's kernel finds in its environment."""
    return {
        "PATH": f"{student_environment() / 'bin'}:/usr/bin:/bin",
        "HOME": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        # the first line of a notebook, labkit.runtime.start, sets these before it imports transformers, which
        # looks only then; a warm kernel has imported it already
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def readable_paths() -> list[str]:
    """Host paths mounted read-only: the system, the student environment, the interpreter if it is elsewhere."""
    paths = [
        "/usr",
        "/bin",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/alternatives",
        "/etc/fonts",
        "/etc/ssl/certs",
    ]
    paths.append(str(student_environment()))
    base = os.path.realpath(sys.base_prefix)
    return paths if base.startswith("/usr") else [*paths, base]
