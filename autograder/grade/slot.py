"""One place where hand-ins are judged, one after another: a template for kernels, one for judges.

The slot stands between the two sandboxes and the machine. A judge asks it for kernels over one channel of
short JSON messages; it is the only one who starts, ends and counts processes, and it believes nothing that
comes over the channel but what it can check.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.connect import write_connection_file

from autograder.course import ROOT
from autograder.errors import SandboxError
from autograder.grade.cgroups import Bounds, hierarchy
from autograder.grade.channel import ChannelClosed, receive, send
from autograder.grade.sandbox import Sandbox
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.warm import MOUNTED, TEMPLATE, Isolated, Place, SandboxFault, Template

GRACE_SECONDS = 60
"""How much longer than its notebook's limit a judge may take before it is ended."""
JUDGE = Bounds(memory=8 << 30, processes=64, cpus=1.0)
JUDGE_RLIMITS = {"FSIZE": 128 << 20, "NPROC": 64, "NOFILE": 256, "CORE": 0}
VERDICT_BYTES = 32 << 20
MOST_KERNELS = 8
"""More than a judge ever asks for."""
FOLDER = "course"
"""First part of the name of a slot's folder, which goes on with the number of its process."""
ROOM = ("autograder", "reference_impl", "heldout")
"""What of the course a judge may import."""
ACCOUNTS = 30_000
SEAL_SECONDS = 5.0
_numbers = itertools.count()


class JudgeFault(Exception):
    """The judge's process failed. The text is for staff."""


@dataclass
class Kernel:
    """One kernel of a job, and the CPU it had used when it was ready."""

    isolated: Isolated
    started_cpu: float = 0.0


def sweep() -> None:
    """Remove folders of slots whose process was killed; it could not do so itself."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}-*-*"):
        owner = re.fullmatch(rf"{FOLDER}-(\d+)-\w+", folder.name)
        with contextlib.suppress(FileNotFoundError):  # another worker sweeps too
            if owner and not psutil.pid_exists(int(owner[1])) and folder.stat().st_uid == os.geteuid():
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder; with rm, because a hand-in may nest folders deeper than Python can follow."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False)


class Slot:
    """Judges one notebook at a time. Use as a context manager: leaving it removes every trace."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Slot:
        sweep()
        with contextlib.ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-{os.getpid()}-"))
            stack.callback(_remove, folder)
            self.jobs = folder / "jobs"
            number = (os.getpid() * 8 + next(_numbers) % 8) % ACCOUNTS
            self.kernels = Template(self.sandbox, "kernel", self.jobs, number)
            self.judges = Template(self.sandbox, "judge", self.jobs, number)
            self.jobs.mkdir()
            self._furnish(self.jobs / "room")
            self._give(folder, 0o710)
            self._give(self.jobs, 0o710)
            stack.callback(self.judges.close)
            stack.callback(self.kernels.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def judge(self, job: dict[str, Any]) -> NotebookVerdict:
        """The verdict on one job (see `autograder.grade.job`).

        Raises JudgeFault when this job fails, SandboxFault or SandboxError when none could be judged here.
        """
        with Job(self, job) as running:
            return running.verdict()

    def _furnish(self, room: Path) -> None:
        """Copy the template and what a judge may import: as root its account could not read the checkout."""
        shutil.copy(TEMPLATE, self.jobs)
        for name in ROOM:
            shutil.copytree(ROOT / name, room / name, ignore=shutil.ignore_patterns("__pycache__"))
        if self.judges.account is not None:
            for path in [room, *room.rglob("*")]:
                os.chown(path, self.judges.account, -1)
        room.chmod(0o700)

    def _give(self, path: Path, mode: int) -> None:
        """Let the slot's accounts, and no other, reach a folder."""
        if self.kernels.account is not None:
            os.chown(path, -1, self.kernels.account)
        path.chmod(mode)


class Job:
    """One notebook being judged."""

    def __init__(self, slot: Slot, job: dict[str, Any]) -> None:
        self.slot = slot
        self.files: dict[str, bytes] = job["files"]
        self.job = {name: value for name, value in job.items() if name != "files"}
        self.limits = slot.sandbox.limits
        self.name = f"j{secrets.token_hex(8)}"
        self.folder = slot.jobs / self.name
        self.kernels: list[Kernel] = []

    def __enter__(self) -> Job:
        with contextlib.ExitStack() as stack:
            self.folder.mkdir()
            stack.callback(_remove, self.folder)
            self.slot._give(self.folder, 0o710)
            (self.folder / "files").mkdir()
            for name, content in self.files.items():
                (self.folder / "files" / name).write_bytes(content)
            self.talk, theirs = socket.socketpair()
            stack.callback(self.talk.close)
            place = Place(self.name)
            with theirs:
                self.judge = self.slot.judges.fork(place, JUDGE, JUDGE_RLIMITS, theirs)
            stack.callback(self._close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def verdict(self) -> NotebookVerdict:
        """Give the judge its job and serve it until it has a verdict. Raises JudgeFault."""
        deadline = time.monotonic() + self.limits.notebook_seconds + GRACE_SECONDS
        try:
            send(self.talk, self.job)
            while True:
                message = receive(self.talk, VERDICT_BYTES, deadline)
                if message.get("ask") == "verdict":
                    return self._checked(message)
                if message.get("ask") == "fault":
                    raise JudgeFault(str(message.get("text"))[-2000:])
                send(self.talk, self.answer(message.get("ask"), message.get("kernel")))
        except ChannelClosed as error:
            reason = "it used more memory than allowed" if self.judge.out_of_memory else str(error)
            self.judge.listen()
            raise JudgeFault(f"the judge did not end as it should: {reason} {self.judge.fault}") from error

    def answer(self, question: object, number: object) -> dict[str, Any]:
        """What the judge is told when it asks for a `kernel`, to `seal` or `end` one, or for its `state`.

        Raises JudgeFault on any other question.
        """
        if question == "kernel":
            return self._start_kernel()
        if not isinstance(number, int) or not 0 <= number < len(self.kernels):
            raise JudgeFault(f"the judge asked about kernel {number!r:.40}")
        kernel = self.kernels[number]
        if question == "seal":
            return self._seal(kernel)
        if question == "end":
            kernel.isolated.order(b"end")
        elif question != "state":
            raise JudgeFault(f"the judge asked for {question!r:.40}")
        return self._state(kernel)

    def _start_kernel(self) -> dict[str, Any]:
        """Start a kernel; the answer tells the judge where its sockets are and the key they want."""
        if len(self.kernels) >= MOST_KERNELS:
            raise JudgeFault("the judge asked for too many kernels")
        number = len(self.kernels)
        place = Place(f"{self.name}/k{number}", f"{self.name}/files")
        folder = self.slot.jobs / place.folder
        folder.mkdir()
        inside = str(folder) if self.slot.sandbox.unsafe else MOUNTED["kernel"]
        file, info = write_connection_file(
            str(folder / "c.json"),
            key=secrets.token_hex(32).encode(),
            transport="ipc",
            ip=f"{inside}/z",
        )
        account = self.slot.kernels.account
        if account is not None:
            for path in (folder, Path(file)):
                os.chown(path, account, account)
        folder.chmod(0o770)
        grouped = hierarchy() is not None
        try:
            isolated = self.slot.kernels.fork(
                place, self.limits.bounds(), self.limits.rlimits(grouped=grouped)
            )
        except (SandboxFault, SandboxError) as fault:
            return {"fault": str(fault)}
        self.kernels.append(Kernel(isolated))
        return {"folder": place.folder.split("/")[1], "inside": isolated.inside, "connection": info}

    def _seal(self, kernel: Kernel) -> dict[str, Any]:
        """From here on code of the hand-in may run: nothing more may be put beside its sockets."""
        folder = self.folder / f"k{self.kernels.index(kernel)}"
        kernel.isolated.order(b"seal")
        kernel.isolated.listen(SEAL_SECONDS)
        if not self.slot.kernels.nested and self.slot.kernels.account is not None:
            os.chown(folder, 0, self.slot.kernels.account)
            folder.chmod(0o770 if self.slot.judges.account is None else 0o710)
        kernel.started_cpu = kernel.isolated.cpu_seconds()
        return self._state(kernel)

    def _state(self, kernel: Kernel) -> dict[str, Any]:
        isolated = kernel.isolated
        return {
            "alive": isolated.alive,
            "status": isolated.exit_status,
            "out_of_memory": isolated.out_of_memory,
            "fault": isolated.fault,
        }

    def _checked(self, message: dict[str, Any]) -> NotebookVerdict:
        """The judge's verdict, if it is one on this job. Raises JudgeFault.

        The judge has read what a hand-in sent, so it is not believed beyond this hand-in: cells and points
        are compared with the job's, and CPU time is counted here.
        """
        try:
            verdict = NotebookVerdict.from_json(str(message.get("verdict")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JudgeFault(f"the judge's verdict is malformed ({type(error).__name__})") from error
        points = {cell["id"]: cell["points"] for cell in self.job["cells"] if cell["kind"] == "grade"}
        if {cell.grade_id: cell.maximum for cell in verdict.cells} != points or any(
            not 0 <= cell.points <= cell.maximum for cell in verdict.cells
        ):
            raise JudgeFault("the judge's verdict is on other cells or points than it was asked about")
        judged = self.judge.cpu_seconds()
        spent = [kernel.isolated.cpu_seconds() for kernel in self.kernels]
        own = sum(
            max(0.0, used - kernel.started_cpu) for used, kernel in zip(spent, self.kernels, strict=True)
        )
        verdict.cpu_seconds = round(judged + sum(spent), 3)
        verdict.cells_cpu_seconds = round(own + min(verdict.cells_cpu_seconds, judged), 3)
        verdict.judged = datetime.now(UTC).isoformat(timespec="seconds")
        verdict.sandbox = self.slot.sandbox.describe(nested=self.slot.kernels.nested)
        return verdict

    def _close(self) -> None:
        with contextlib.ExitStack() as each:  # one that does not end must not keep the others
            for isolated in [self.judge, *(kernel.isolated for kernel in self.kernels)]:
                each.callback(isolated.close)
