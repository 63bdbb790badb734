"""A Hub started as `make hub` starts it, with a folder and accounts of its own: for tests and measurements."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from autograder.course import ROOT
from hub_config.local import accounts, processes
from hub_config.ports import free_ports

PREFIX = f"test{os.getpid() % 1000}-"
"""Not the same for two runs at once: accounts belong to the whole machine."""
READY = "memory limit:"
ROW = re.compile(r"│ (\S+) +│ (\S{12}) +│ (?:student|assistant|instructor) ")


class RunningHub:
    """One launcher.

    `prefix` is before every account's name, `passwords` are those it printed, `started` is a Unix time.
    """

    def __init__(self, state: Path, *options: str, prefix: str = PREFIX, port: int = 0) -> None:
        self.state, self.prefix = state, prefix
        self.port = port or free_ports(1)[0]
        self.log = state.with_suffix(".out")
        self.started = time.time()
        command = [sys.executable, "-m", "hub_config.local", "--port", str(self.port), "--state", str(state)]
        command += ["--lab", "Lab-3.1"]  # one is enough to see every page, and quick to build
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--prefix", prefix, *options],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "160"},
            )

    def __enter__(self) -> RunningHub:
        try:
            return self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What the launcher has printed."""
        return self.log.read_text("utf-8")

    def wait_ready(self, seconds: float = 180) -> RunningHub:
        """Until it has printed the accounts."""
        deadline = time.monotonic() + seconds
        while READY not in self.output:
            assert self.process.poll() is None and time.monotonic() < deadline, self.output
            time.sleep(0.2)
        self.passwords = dict(ROW.findall(self.output))
        return self

    def stop(self, number: int = signal.SIGINT) -> float:
        """Send a signal, wait for the end; return the seconds it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)
        return time.monotonic() - started

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def instance(self) -> Path:
        """The instance that the course service works in."""
        return self.state / "course" / "checkout" / "build" / "course"

    def process_of(self, word: str, name: str = "") -> psutil.Process:
        """The process of one part by a word of its command line, or that of a person. Raises LookupError."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):  # one that has ended meanwhile, or is a zombie
                if word not in " ".join(process.cmdline()) or process.name() == "sh":
                    continue
                if not name or process.username() == self.prefix + name:
                    return process
        raise LookupError(f"no process of {word}")

    def home(self, name: str) -> Path:
        """A person's home."""
        return self.state / "homes" / (self.prefix + name)


@contextmanager
def state_folder() -> Iterator[Path]:
    """A folder that every account can reach, unlike pytest's; removed with what it holds."""
    folder = Path(tempfile.mkdtemp(prefix="hub-test-", dir="/opt"))
    folder.chmod(0o755)
    try:
        yield folder / "state"
    finally:
        # a test that failed may have left its Hub behind
        state = folder / "state"
        if os.geteuid() == 0:
            left = processes.left_behind(state / "processes.json", accounts.numbers_of(state))
            processes.end_all(left, patience=2)
            accounts.remove_accounts(state)
        shutil.rmtree(folder)
