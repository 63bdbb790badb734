"""Processes of a sandbox as who asks for them sees them: a template that forks them, and each of them.

A template (see `autograder.grade.template`) has imported the libraries, so a kernel starts in a fraction of a
second. Where namespaces cannot be nested, a template of its own is started for each process instead; the
rest of the grader does not notice.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from autograder.grade import seccomp
from autograder.grade.cgroups import Bounds, Group, hierarchy
from autograder.grade.sandbox import (
    FIRST_ACCOUNT,
    Sandbox,
    bubblewrap,
    environment,
    require,
    sized_folders,
    student_environment,
)

TEMPLATE = Path(__file__).with_name("template.py")
START_SECONDS = 120.0
"""For the imports of a template, on a machine that is busy."""
FORK_SECONDS = 30.0
END_SECONDS = 15.0
COMMON = [
    "torch", "transformers.modeling_utils", "scipy.optimize", "matplotlib.pyplot",
    "transformers.models.bert.modeling_bert", "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama", "transformers.models.mistral.modeling_mistral",
    "transformers.models.vit.modeling_vit",
    "labkit.branch", "labkit.checks", "labkit.data", "labkit.evaluation", "labkit.layers", "labkit.ops",
    "labkit.plots", "labkit.training", "labkit.zoo.tiny",
]  # fmt: skip
IMPORTS = {
    "kernel": [*COMMON, "matplotlib_inline.backend_inline", "ipykernel.kernelapp"],
    "judge": [*COMMON, "autograder.grade.judge", "heldout"],
}
"""What a template has imported before it forks: what most notebooks use. Nothing here may start a thread, which a
fork would not copy; onnxruntime does, so it is left to the notebooks."""
FORK_SAFE = ["datasets"]
"""Imported last, because Arrow, under it, starts threads; it makes them anew in a fork."""
MOUNTED = {"kernel": "/kernel", "judge": "/job"}
"""Where a process sees its folder."""


class SandboxFault(Exception):
    """A process of the sandbox could not be started or ended; not the student's doing. For staff."""


class StayedBehind(SandboxFault):
    """A process of one job did not end, or its control group could not be removed. For staff."""


@dataclass(frozen=True)
class Place:
    """Where one process lives: folders below the slot's `jobs`, of which it sees nothing else.

    `folder` is mounted where its role expects it; what lies in `files`, if any, is copied into its home.
    """

    folder: str
    files: str = ""


class Isolated:
    """One process of a sandbox with everything below it, from its start to its last trace."""

    def __init__(
        self, process: int, control: socket.socket, group: Group | None, inside: str, own: Running | None
    ) -> None:
        self.process = process
        """The number of its outermost process on this machine."""
        self.control = control
        self.group = group
        self.inside = inside
        """Its folder, as it sees it."""
        self.own = own
        """The template that serves this process alone, if there is one."""
        self.exit_status: int | None = None
        self.fault = ""

    def listen(self, seconds: float = 0.0) -> None:
        """Take what its supervisor has said, waiting this long for the first word."""
        while self.exit_status is None and select.select([self.control], [], [], seconds)[0]:
            try:
                word = self.control.recv(1024)
            except OSError:
                word = b""
            if not word:
                self.exit_status = -signal.SIGKILL
            elif word.startswith(b"fault "):
                self.fault = word[6:].decode(errors="replace")
            elif word.startswith(b"exit "):
                self.exit_status = int(word[5:]) if word[5:].lstrip(b"-").isdigit() else 1
            elif word in (b"inside", b"sealed"):
                return
            seconds = 0.0

    @property
    def alive(self) -> bool:
        """Whether the worker has not ended yet, as far as is known without asking again."""
        self.listen()
        return self.exit_status is None

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended one of its processes for want of memory."""
        return self.group is not None and self.group.out_of_memory()

    def order(self, word: bytes) -> None:
        """Tell the supervisor to `seal` the folder or `end` the worker. Does nothing when it is gone."""
        with contextlib.suppress(OSError):
            self.control.send(word)

    def cpu_seconds(self) -> float:
        """CPU used so far by its processes, those that ended and were waited for included."""
        total = 0.0
        with contextlib.suppress(psutil.Error):
            for process in [top := psutil.Process(self.process), *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += sum(process.cpu_times()[:4])
        return total

    def close(self) -> None:
        """End all of it and wait until the last process is gone. Raises StayedBehind when one stays."""
        family = []
        with contextlib.suppress(psutil.Error):
            family = [top := psutil.Process(self.process), *top.children(recursive=True)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        self.control.close()
        if self.own is not None:
            self.own.end()
        _, alive = psutil.wait_procs(family, timeout=END_SECONDS)
        try:
            if self.group is not None:
                self.group.remove(END_SECONDS)
        except OSError as error:
            raise StayedBehind(f"a control group of a hand-in could not be removed: {error}") from error
        if alive:
            raise StayedBehind(f"processes of a hand-in did not end: {[process.pid for process in alive]}")


@dataclass
class Running:
    """A template that has been started."""

    process: subprocess.Popen[bytes]
    requests: socket.socket
    errors: IO[bytes]

    def end(self) -> None:
        """End it, and with it everything it forked."""
        self.requests.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.errors.close()

    def complaint(self) -> str:
        """The last it wrote to its error output."""
        self.errors.seek(0)
        return self.errors.read()[-500:].decode(errors="replace").strip() or "no message"


class Template:
    """One role's warm process, `kernel` or `judge`; `fork` starts one process after another."""

    def __init__(self, sandbox: Sandbox, role: str, jobs: Path, number: int) -> None:
        """`jobs` holds the folders of jobs and, as `room`, what a judge may read; `number` is the slot's."""
        self.sandbox = sandbox
        self.role = role
        self.jobs = jobs
        self.account = None
        if os.geteuid() == 0 and not sandbox.unsafe:
            self.account = FIRST_ACCOUNT + 2 * number + (role == "judge")
        self.nested = sandbox.warm and not sandbox.unsafe
        self._running: Running | None = None

    def fork(
        self, place: Place, bounds: Bounds, rlimits: dict[str, int], talk: socket.socket | None = None
    ) -> Isolated:
        """Start one process. Raises SandboxFault, or SandboxError when this machine has no sandbox at all."""
        if self._running is not None and self._running.process.poll() is not None:
            self.close()
        running = self._running or self._start(place)
        self._running = running if self.nested else None
        try:
            started = self._fork(running, place, bounds, rlimits, talk)
            started.listen(FORK_SECONDS)
        except SandboxFault:
            running.end()
            self._running = None
            raise
        if not started.fault:
            return started
        started.close()
        if not self.nested:
            raise SandboxFault(f"the sandbox cannot be entered: {started.fault}")
        self.close()
        self.nested = False  # a container that forbids namespaces inside namespaces: go on without warm start
        return self.fork(place, bounds, rlimits, talk)

    def close(self) -> None:
        """End the template and with it everything it forked."""
        if self._running is not None:
            self._running.end()
            self._running = None

    def _start(self, place: Place) -> Running:
        # limits of the template itself; a fork has its own
        command = [require("prlimit", "util-linux"), "--core=0", "--nofile=4096", *self._command(place)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by Running.end); a pipe nobody reads would block
        home = str(self.jobs / place.folder)
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", **(environment(home) if self.sandbox.unsafe else {})},
            start_new_session=True,
        )
        theirs.close()
        running = Running(process, ours, errors)
        ours.settimeout(START_SECONDS)
        try:
            ready = ours.recv(16)
        except OSError:
            ready = b""
        if ready != b"ready":
            complaint = running.complaint()
            running.end()
            raise SandboxFault(f"the sandbox did not start: {complaint}")
        return running

    def _command(self, place: Place) -> list[str]:
        if self.sandbox.unsafe:
            program, room = str(self.jobs / TEMPLATE.name), str(self.jobs / "room")
        else:
            program, room = "/template.py", "/room"
        settings = {
            "role": self.role,
            "nested": self.nested,
            "path": [room] if self.role == "judge" else [],
            "imports": IMPORTS[self.role],
            "fork_safe": FORK_SAFE,
            "seccomp": seccomp.program().hex(),
        }
        inner = [str(student_environment() / "bin" / "python"), "-I", program, json.dumps(settings)]
        if self.sandbox.unsafe:
            return inner
        mounts = [*sized_folders(self.sandbox.limits.disk)]
        mounts += ["--ro-bind", str(self.jobs / TEMPLATE.name), "/template.py"]
        if self.role == "judge":
            mounts += ["--ro-bind", str(self.jobs / "room"), "/room"]
        if self.nested:
            mounts += ["--bind", str(self.jobs), "/jobs", "--dir", MOUNTED[self.role]]
        else:
            mounts += ["--bind", str(self.jobs / place.folder), MOUNTED[self.role]]
            if place.files:
                mounts += ["--ro-bind", str(self.jobs / place.files), "/files"]
        return bubblewrap(self.account, mounts, inner, nested=self.nested)

    def _fork(
        self,
        running: Running,
        place: Place,
        bounds: Bounds,
        rlimits: dict[str, int],
        talk: socket.socket | None,
    ) -> Isolated:
        job = self._job(place, rlimits)
        with contextlib.ExitStack() as stack:
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(control.close)
            control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            control.settimeout(FORK_SECONDS)
            with theirs:
                descriptors = [theirs.fileno()] + ([talk.fileno()] if talk is not None else [])
                try:
                    socket.send_fds(running.requests, [json.dumps(job).encode()], descriptors)
                    word, ancillary, _, _ = control.recvmsg(16, socket.CMSG_SPACE(12))
                except OSError as error:
                    raise SandboxFault(
                        f"the template did not fork: {error}; {running.complaint()}"
                    ) from error
            if word != b"here" or not ancillary:
                raise SandboxFault(f"the template did not fork: {running.complaint()}")
            (process, _, _) = struct.unpack("3i", ancillary[0][2])
            found = hierarchy()
            group = None
            if found is not None:
                try:
                    group = found.make(bounds)
                    stack.callback(group.remove)
                    group.add(process)
                except OSError as error:
                    raise SandboxFault(f"a control group cannot be used: {error}") from error
            control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            control.send(b"go")
            stack.pop_all()
        own = None if self.nested else running
        return Isolated(own.process.pid if own else process, control, group, job["mounted"], own)

    def _job(self, place: Place, rlimits: dict[str, int]) -> dict[str, Any]:
        """What the template has to know about one process."""
        job: dict[str, Any] = {"rlimits": rlimits, "disk": self.sandbox.limits.disk << 20, "home": "/box"}
        if self.nested:
            files = f"/jobs/{place.files}"
            return {
                **job,
                "folder": place.folder,
                "mounted": MOUNTED[self.role],
                "files": place.files and files,
            }
        if self.sandbox.unsafe:
            folder = str(self.jobs / place.folder)
            files = str(self.jobs / place.files)
            return {**job, "home": folder, "mounted": folder, "files": place.files and files}
        return {**job, "mounted": MOUNTED[self.role], "files": place.files and "/files"}
