"""The student's kernel as the judge sees it: cells go in, bounded outputs and values come out.

The kernel speaks the Jupyter protocol over unix sockets in a folder of its own. Nothing it says is
believed: replies are capped in size, waited for with a deadline, and decoded as plain values.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session

from autograder.grade.outputs import Outputs
from autograder.grade.sandbox import SOCKETS, Sandbox, account, environment, student_environment
from autograder.grade.verdict import Outcome

START_SECONDS = 60
REPLY_BYTES = 96 << 20
OUTPUT_BYTES = 8 << 20
"""Largest single output message; a larger one drops the connection, which then reopens."""

QUOTED_BASE64 = re.compile(r"'[A-Za-z0-9+/=]*'")
ANSWER = "__import__('labkit.probe', fromlist=['answer']).answer({request!r}, globals())"


class KernelLost(Exception):
    """The kernel died, hung, or answered out of protocol. `outcome` says which."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        self.outcome = outcome
        super().__init__(message)


@dataclass
class CellResult:
    """What one student cell did. `error` is (class name, message) or None."""

    error: tuple[str, str] | None = None
    outputs: list[dict[str, Any]] = field(default_factory=list)


class StudentKernel:
    """A kernel in the sandbox. Use as a context manager: leaving it removes every trace."""

    def __init__(self, sandbox: Sandbox, files: list[Path]) -> None:
        self.sandbox = sandbox
        self.files = files
        self.started_cpu = 0.0

    def __enter__(self) -> StudentKernel:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._wait_ready()
            self._cleanup = stack.pop_all()
        return self

    def _start(self, stack: contextlib.ExitStack) -> None:
        """Start the process and connect; everything taken is given back by `stack`, in reverse."""
        self.folder = Path(tempfile.mkdtemp(prefix="k"))
        # rm, because a student may nest folders deeper than Python can follow
        stack.callback(subprocess.run, ["rm", "-rf", "--", str(self.folder)], check=False)
        inside = str(self.folder) if self.sandbox.unsafe else SOCKETS
        file, info = write_connection_file(str(self.folder / "c.json"), transport="ipc", ip=f"{inside}/z")
        if os.geteuid() == 0 and not self.sandbox.unsafe:
            for path in (self.folder, Path(file)):
                os.chown(path, account(), account())
        python = str(student_environment() / "bin" / "python")
        inner = [
            python,
            "-m",
            "ipykernel_launcher",
            "-f",
            f"{inside}/c.json",
            "--HistoryManager.enabled=False",
        ]
        command = self.sandbox.command(self.folder, inner, self.files)
        # a file, because a pipe that nobody reads would block the kernel
        self.errors = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", **(environment(str(self.folder)) if self.sandbox.unsafe else {})},
            start_new_session=True,
        )
        stack.callback(self._end)
        self.session = Session(key=info["key"].encode() if isinstance(info["key"], str) else info["key"])
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.destroy, linger=0)
        self.shell = self._connect(context, zmq.DEALER, info["shell_port"], REPLY_BYTES)
        self.iopub = self._connect(context, zmq.SUB, info["iopub_port"], OUTPUT_BYTES)
        self.iopub.setsockopt(zmq.SUBSCRIBE, b"")

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _end(self) -> None:
        """Kill the process group; every process of the sandbox dies with its first one."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def run(self, source: str, seconds: float) -> CellResult:
        """Run one of the student's cells. Raises KernelLost on a time-out or death."""
        content, outputs = self._execute(source, {}, seconds, silent=False)
        if content.get("status") == "error":
            name, text = str(content.get("ename", ""))[:80], str(content.get("evalue", ""))[:500]
            return CellResult((name, text), outputs)
        return CellResult(None, outputs)

    def call(self, request: str, seconds: float) -> str:
        """Send one encoded call, return the encoded answer. Raises KernelLost."""
        content, _ = self._execute("", {"r": ANSWER.format(request=request)}, seconds, silent=True)
        reply = content.get("user_expressions", {})
        answer = reply.get("r", {}) if isinstance(reply, dict) else {}
        try:
            text = answer["data"]["text/plain"]
        except (KeyError, TypeError) as error:
            raise KernelLost(Outcome.FORBIDDEN, "no value came back from the notebook") from error
        # base64 between quotes: parsing anything else as Python would let a small text cost much memory
        if not isinstance(text, str) or not QUOTED_BASE64.fullmatch(text):
            raise KernelLost(Outcome.FORBIDDEN, "what came back is not a value")
        return text[1:-1]

    def cpu_seconds(self) -> float:
        """CPU used so far by the kernel's processes, read from outside; 0 when it is gone."""
        total = 0.0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    total += times.user + times.system
        return total

    def _connect(self, context: zmq.Context[Any], kind: int, port: int, largest: int) -> Any:
        socket = context.socket(kind)
        socket.setsockopt(zmq.MAXMSGSIZE, largest)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 100)
        socket.connect(f"ipc://{self.folder}/z-{port}")
        return socket

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not any(self.folder.glob("z-*")):
            if self.process.poll() is not None:
                self.errors.seek(0)
                detail = self.errors.read(2000).decode(errors="replace").strip() or "no message"
                raise KernelLost(Outcome.GRADER_FAULT, f"the sandbox did not start: {detail[-500:]}")
            if time.monotonic() > deadline:
                raise KernelLost(Outcome.GRADER_FAULT, f"the kernel was not ready after {START_SECONDS} s")
            time.sleep(0.02)
        # the first request proves that kernel and output channel are both connected
        while True:
            request = self.session.send(self.shell, "kernel_info_request", {})
            with contextlib.suppress(KernelLost):
                self._reply(request["header"]["msg_id"], time.monotonic() + 1.0)
                if self.iopub.poll(500):
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise KernelLost(Outcome.GRADER_FAULT, "the kernel did not answer after its start")
        self._drain_outputs(None, 0.05)
        if os.geteuid() == 0 and not self.sandbox.unsafe:
            # from here on student code may run: nothing may be put in the place of a socket, nor fill the disk
            os.chown(self.folder, 0, 0)
            self.folder.chmod(0o755)
        self.started_cpu = self.cpu_seconds()

    def _execute(
        self, code: str, expressions: dict[str, str], seconds: float, *, silent: bool
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        content = {
            "code": code, "silent": silent, "store_history": not silent, "user_expressions": expressions,
            "allow_stdin": False, "stop_on_error": False,
        }  # fmt: skip
        request = self.session.send(self.shell, "execute_request", content)
        identity = request["header"]["msg_id"]
        collector = Outputs(identity)
        reply = self._reply(identity, time.monotonic() + seconds, collector)
        self._drain_outputs(collector, 1.0)
        return reply, collector.kept

    def _reply(self, identity: str, deadline: float, collector: Outputs | None = None) -> dict[str, Any]:
        poller = zmq.Poller()
        poller.register(self.shell, zmq.POLLIN)
        poller.register(self.iopub, zmq.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise KernelLost(Outcome.TIMEOUT, "no answer within the time limit")
            ready = dict(poller.poll(int(min(left, 0.2) * 1000) + 1))
            if self.iopub in ready:
                self._take_output(collector)
            if self.shell in ready:
                message = self._receive(self.shell)
                if message and message["parent_header"].get("msg_id") == identity:
                    found = message["content"]
                    return found if isinstance(found, dict) else {}
            elif not ready and self.process.poll() is not None:
                raise KernelLost(*_death(self.process.returncode))

    def _take_output(self, collector: Outputs | None) -> None:
        message = self._receive(self.iopub)
        if message and collector is not None:
            collector.add(message)

    def _drain_outputs(self, collector: Outputs | None, seconds: float) -> None:
        """Read what is left on the output channel until the kernel says idle, or for a short while."""
        deadline = time.monotonic() + seconds
        while (collector is None or not collector.idle) and time.monotonic() < deadline:
            if self.iopub.poll(20):
                self._take_output(collector)
            elif collector is None:
                return

    def _receive(self, socket: Any) -> dict[str, Any] | None:
        """One message, or None when it is malformed: the kernel's key is known to student code."""
        try:
            _, frames = self.session.feed_identities(socket.recv_multipart(zmq.NOBLOCK))
            message = self.session.deserialize(frames)
            return message if isinstance(message.get("parent_header"), dict) else None
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            UnicodeDecodeError,
            zmq.ZMQError,
        ):
            return None


def _death(code: int | None) -> tuple[Outcome, str]:
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return (
            Outcome.OUT_OF_MEMORY,
            "the notebook's process was killed: it used more memory or CPU time than allowed",
        )
    return Outcome.ERROR, f"the notebook's process ended by itself (exit status {code})"
