"""Start a student's kernel inside bubblewrap: no network, a read-only system, bounded everything.

What the process sees: /usr and the student environment, read-only; its own empty /proc, /dev, /tmp
and /box (sized tmpfs); one folder with the kernel's sockets. It has its own user, pid, ipc, network
and mount namespaces, no capabilities, and never runs as root.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from autograder.course import ROOT
from autograder.errors import SandboxError

FIRST_UID = 200_000
"""As root, each judge's kernels run as an account number of their own from here on, because limits on
the number of processes count per account."""
SOCKETS = "/kernel"
"""Where the socket folder is mounted inside."""


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
    memory: int = 6144
    """Address space of each process."""
    disk: int = 256
    """Of /tmp, /box and /dev/shm, each."""
    file: int = 128
    processes: int = 256
    open_files: int = 256


@dataclass(frozen=True)
class Sandbox:
    """How kernels are started on this machine. `unsafe` starts them without bubblewrap, for development."""

    limits: Limits = Limits()
    unsafe: bool = False

    def describe(self) -> str:
        """One line for the verdict: which limits applied."""
        return "none (--unsafe-no-sandbox), rlimits" if self.unsafe else "bubblewrap, rlimits"

    def command(self, sockets: Path, inner: list[str], files: list[Path]) -> list[str]:
        """The command line that starts `inner` with the socket folder and extra files in place.

        Raises SandboxError when bubblewrap is missing or cannot work here.
        """
        limited = [require("prlimit", "util-linux"), *self._rlimits()]
        if self.unsafe:
            return [*limited, *inner]
        bwrap = require("bwrap", "bubblewrap")
        drop = []
        if os.geteuid() == 0:
            setpriv = require("setpriv", "util-linux")
            drop = [
                setpriv,
                f"--reuid={account()}",
                f"--regid={account()}",
                "--clear-groups",
                "--no-new-privs",
            ]
        command = [
            *limited,
            *drop,
            bwrap,
            "--unshare-all",
            "--unshare-user",
            "--die-with-parent",
            "--new-session",
        ]
        command += ["--disable-userns", "--cap-drop", "ALL", "--clearenv", "--hostname", "sandbox"]
        for name, value in environment("/box").items():
            command += ["--setenv", name, value]
        command += ["--proc", "/proc", "--dev", "/dev"]
        for folder in ("/dev/shm", "/tmp", "/box"):
            command += ["--size", str(self.limits.disk << 20), "--tmpfs", folder]
        for path in readable_paths():
            command += ["--ro-bind-try", path, path]
        for file in files:
            command += ["--ro-bind", str(file), f"/box/{file.name}"]
        command += ["--bind", str(sockets), SOCKETS]
        for folder in ("/dev", "/"):  # bubblewrap's own root and /dev are unsized tmpfs
            command += ["--remount-ro", folder]
        return [*command, "--chdir", "/box", "--", *inner]

    def _rlimits(self) -> list[str]:
        limits = self.limits
        return [
            f"--cpu={limits.cpu_seconds}",
            f"--as={limits.memory << 20}",
            f"--fsize={limits.file << 20}",
            f"--nproc={limits.processes}",
            f"--nofile={limits.open_files}",
            "--core=0",
        ]


def account() -> int:
    """The account number of this judge's kernels when it runs as root."""
    return FIRST_UID + os.getpid() % 60_000


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
