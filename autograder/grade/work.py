"""What a worker does: one job in, one verdict or fault out, both as bytes; it keeps a warm slot between jobs.

Payloads and results are JSON, so nothing that comes back from a worker is unpickled but bytes.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

from autograder.errors import CourseError
from autograder.grade.fingerprint import environment
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.slot import JudgeFault, Slot
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.warm import SandboxFault, StayedBehind

TRIES = 2
"""How often a job is judged before its fault is believed."""
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Fault:
    """A job that was not judged. `machine` says that any other job would fail on this worker too."""

    text: str
    machine: bool = False


def pack(job: dict[str, Any], sandbox: Sandbox) -> bytes:
    """A job as a payload."""
    files = {name: base64.b64encode(content).decode() for name, content in job["files"].items()}
    about = {"unsafe": sandbox.unsafe, "warm": sandbox.warm, "environment": environment()}
    return json.dumps({**job, **about, "files": files}).encode()


def work(payload: bytes) -> bytes:
    """Judge one payload. Never raises: a fault is a result."""
    job = json.loads(payload)
    expected, here = job.pop("environment"), environment()
    different = [part for part in here if here[part] != expected.get(part)]
    if different:
        text = (
            f"this worker has another version of the course than the command: {', '.join(different)} differ"
        )
        return json.dumps({"fault": text, "machine": True}).encode()
    sandbox = Sandbox(Limits(**job["limits"]), job.pop("unsafe"), job.pop("warm"))
    job["files"] = {name: base64.b64decode(text) for name, text in job["files"].items()}
    fault = ""
    with _one_at_a_time:
        for _ in range(TRIES):
            try:
                return json.dumps({"verdict": own_slot(sandbox).judge(job).to_json()}).encode()
            except (JudgeFault, StayedBehind) as error:
                fault = str(error)
            except (CourseError, SandboxFault, OSError) as error:
                return json.dumps({"fault": str(error), "machine": True}).encode()
    return json.dumps({"fault": fault, "machine": False}).encode()


def unpack(result: bytes) -> NotebookVerdict | Fault:
    """What came of a payload. Raises ValueError or KeyError when the bytes are something else."""
    found = json.loads(result)
    if "verdict" in found:
        return NotebookVerdict.from_json(found["verdict"])
    return Fault(str(found["fault"]), bool(found["machine"]))


@cache
def own_slot(sandbox: Sandbox) -> Slot:
    """This process's slot for a kind of sandbox, started when it is first needed and closed at exit."""
    slot = contextlib.ExitStack()
    atexit.register(slot.close)
    return slot.enter_context(Slot(sandbox))
