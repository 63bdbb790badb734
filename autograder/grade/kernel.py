"""The student's kernel as the judge sees it: cells go in, bounded outputs come out, copies answer calls.

The kernel speaks the Jupyter protocol over unix sockets in a folder of its own. Nothing it says is
believed: replies are capped in size, waited for with a deadline, and decoded as plain values.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import zmq
from jupyter_client.session import Session
from labkit.branch import HEADER

from autograder.grade.channel import ChannelClosed, read_exactly
from autograder.grade.outputs import Outputs
from autograder.grade.verdict import Outcome

START_SECONDS = 60.0
BRANCH_SECONDS = 20.0
ACCEPT_SECONDS = 5.0
"""For a copy that was made to connect."""
REPLY_BYTES = 96 << 20
OUTPUT_BYTES = 8 << 20
"""Largest single output message; a larger one drops the connection, which then reopens."""
MESSAGE_BYTES = 1 << 20
BRANCHES = "b"
"""The socket in the kernel's folder to which its copies connect."""
BASE64 = re.compile(r"[A-Za-z0-9+/=]*")


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


class Keeper(Protocol):
    """Who starts and ends kernels for the judge, and knows how they ended."""

    def ask(self, question: str, kernel: int | None = None) -> dict[str, Any]:
        """Ask for a `kernel`, to `seal` or `end` one, or for its `state`."""


class Branch:
    """A copy of the kernel that waits at one point of the notebook."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.lost: KernelLost | None = None

    def call(self, request: str, seconds: float) -> str:
        """Send one encoded call, return the encoded answer. Raises KernelLost."""
        text = self._ask(request, b"C", seconds)
        if not BASE64.fullmatch(text):
            raise KernelLost(Outcome.FORBIDDEN, "what came back is not a value")
        return text

    def define(self, source: str, seconds: float) -> None:
        """Define a probe beside the student's code. Raises KernelLost."""
        if self._ask(source, b"D", seconds):
            # why is not passed on: code that stands in the way of a probe could answer with the probe's source
            raise KernelLost(Outcome.ERROR, "a part of this check could not be defined beside your code")

    def close(self) -> None:
        """Let the copy end."""
        self._channel.close()

    def _ask(self, text: str, kind: bytes, seconds: float) -> str:
        if self.lost is not None:
            raise self.lost
        deadline = time.monotonic() + seconds
        try:
            self._channel.settimeout(seconds)
            content = text.encode()
            self._channel.sendall(len(content).to_bytes(HEADER - 1, "little") + kind + content)
            size = int.from_bytes(read_exactly(self._channel, 8, deadline), "little")
            if size > REPLY_BYTES:
                raise self._lose(
                    Outcome.FORBIDDEN, f"what came back is over the limit of {REPLY_BYTES >> 20} MiB"
                )
            return read_exactly(self._channel, size, deadline).decode("ascii")
        except UnicodeDecodeError as error:
            raise self._lose(Outcome.FORBIDDEN, "what came back is not a value") from error
        except (ChannelClosed, OSError) as error:
            if time.monotonic() >= deadline - 0.01:
                raise self._lose(Outcome.TIMEOUT, "no answer within the time limit") from error
            raise self._lose(
                Outcome.ERROR, "the notebook's process ended while it was asked for a value"
            ) from error

    def _lose(self, outcome: Outcome, message: str) -> KernelLost:
        """Give the copy up: after this, nothing it says could be told apart from a late answer."""
        self.close()
        self.lost = KernelLost(outcome, message)
        return self.lost


class StudentKernel:
    """A kernel in the sandbox. Use as a context manager; the processes are ended by who started them."""

    def __init__(self, keeper: Keeper, jobs: Path) -> None:
        """`jobs` is the folder in which kernels' folders appear, as the judge sees it."""
        self.keeper = keeper
        self.jobs = jobs

    def __enter__(self) -> StudentKernel:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._wait_ready()
            self._cleanup = stack.pop_all()
        return self

    def _start(self, stack: contextlib.ExitStack) -> None:
        """Have one started and connect; everything taken is given back by `stack`, in reverse."""
        answer = self.keeper.ask("kernel")
        if "fault" in answer:
            raise KernelLost(Outcome.GRADER_FAULT, f"the sandbox did not start: {answer['fault']}")
        self.number = int(answer["folder"][1:])
        self.folder = self.jobs / answer["folder"]
        self.inside = answer["inside"]
        info = answer["connection"]
        self.branches = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        self.branches.bind(str(self.folder / BRANCHES))
        (self.folder / BRANCHES).chmod(
            0o777
        )  # the kernel's account is not the judge's; the folder is theirs alone
        self.branches.listen(8)
        self.session = Session(key=info["key"].encode())
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.destroy, linger=0)
        self.shell = self._connect(context, zmq.DEALER, info["shell_port"], REPLY_BYTES)
        self.iopub = self._connect(context, zmq.SUB, info["iopub_port"], OUTPUT_BYTES)
        self.iopub.setsockopt(zmq.SUBSCRIBE, b"")

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def end(self) -> None:
        """End the notebook's own process, so that no more of its output is taken; its copies stay."""
        self.keeper.ask("end", self.number)
        self._cleanup.close()

    def run(self, source: str, seconds: float) -> CellResult:
        """Run one of the student's cells. Raises KernelLost on a time-out or death."""
        content, outputs = self._execute(source, {}, seconds, silent=False)
        if content.get("status") == "error":
            name, text = str(content.get("ename", ""))[:80], str(content.get("evalue", ""))[:500]
            return CellResult((name, text), outputs)
        return CellResult(None, outputs)

    def branch(self, seconds: float = BRANCH_SECONDS) -> Branch:
        """Have the kernel copied as it is now. Raises KernelLost."""
        call = (
            f"__import__('labkit.branch', fromlist=['branch']).branch('{self.inside}/{BRANCHES}', globals())"
        )
        reply, _ = self._execute("", {"r": call}, seconds, silent=True)
        said = reply.get("user_expressions")
        copied = said.get("r") if isinstance(said, dict) else None
        if not isinstance(copied, dict) or copied.get("status") != "ok":
            raise KernelLost(Outcome.ERROR, "the notebook's process could not be copied for a check")
        self.branches.settimeout(min(seconds, ACCEPT_SECONDS))
        try:
            return Branch(self.branches.accept()[0])
        except OSError as error:
            raise KernelLost(
                Outcome.ERROR, "the notebook's process could not be copied for a check"
            ) from error

    def _connect(self, context: zmq.Context[Any], kind: int, port: int, largest: int) -> Any:
        channel = context.socket(kind)
        channel.setsockopt(zmq.MAXMSGSIZE, largest)
        channel.setsockopt(zmq.LINGER, 0)
        channel.setsockopt(zmq.RCVHWM, 100)
        channel.connect(f"ipc://{self.folder}/z-{port}")
        return channel

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        # the first request proves that kernel and output channel are both connected
        while True:
            request = self.session.send(self.shell, "kernel_info_request", {})
            with contextlib.suppress(KernelLost):
                self._reply(request["header"]["msg_id"], time.monotonic() + 2.0)
                if self.iopub.poll(500):
                    break
            state = self.keeper.ask("state", self.number)
            if not state["alive"] or time.monotonic() > deadline:
                detail = state["fault"] or f"exit status {state['status']}"
                raise KernelLost(Outcome.GRADER_FAULT, f"the kernel did not answer after its start: {detail}")
        self._drain_outputs(None, 0.05)
        self.keeper.ask("seal", self.number)

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
            elif not ready:
                state = self.keeper.ask("state", self.number)
                if not state["alive"]:
                    raise KernelLost(*_death(state))

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

    def _receive(self, channel: Any) -> dict[str, Any] | None:
        """One message, or None when it is malformed: the kernel's key is known to student code."""
        try:
            _, frames = self.session.feed_identities(channel.recv_multipart(zmq.NOBLOCK))
            message = self.session.deserialize(frames)
            return message if isinstance(message.get("parent_header"), dict) else None
        except (
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
            UnicodeDecodeError,
            zmq.ZMQError,
        ):
            return None


def _death(state: dict[str, Any]) -> tuple[Outcome, str]:
    if state["out_of_memory"]:
        return Outcome.OUT_OF_MEMORY, "the notebook used more memory than allowed"
    if state["status"] in (-signal.SIGKILL, -signal.SIGXCPU):
        return (
            Outcome.OUT_OF_MEMORY,
            "the notebook's process was killed: it used more memory or CPU time than allowed",
        )
    return Outcome.ERROR, f"the notebook's process ended by itself (exit status {state['status']})"
