"""What can change a grade besides the hand-in: hashes of the lab, of the libraries and of the grader itself."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from autograder.course import ROOT
from autograder.grade.sandbox import Sandbox, student_environment

JUDGING = (
    "template", "judge", "session", "kernel", "outputs", "shown", "relevant", "channel", "verdict", "sandbox",
    "cgroups", "seccomp", "slot", "warm", "rebuild", "job", "handed_in", "intake",
)  # fmt: skip
"""Modules of `autograder.grade` that take part in a verdict."""


@cache
def environment() -> dict[str, str]:
    """A hash of each part of the environment, by a name that a person understands. Looked up once a process."""
    site = next((student_environment() / "lib").glob("python3*/site-packages"))
    libraries = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions(path=[str(site)]))
    grader = [ROOT / "autograder" / "grade" / f"{name}.py" for name in JUDGING]
    return {
        "python": sys.version.split()[0],
        "libraries": _hash(libraries),
        "labkit": _hash_files((site / "labkit").rglob("*.py"), site),
        "grader": _hash_files(grader, ROOT),
        "reference": _hash_files((ROOT / "reference_impl").rglob("*.py"), ROOT),
        "held-out data": _hash_files((ROOT / "heldout").rglob("*"), ROOT),
    }


def job_key(job: dict[str, Any], sandbox: Sandbox) -> str:
    """The content address of a verdict: equal for jobs that must come out the same."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in job["files"].items()}
    return _hash({**job, "files": files, "unsafe": sandbox.unsafe, "environment": environment()})


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _hash_files(files: Iterable[Path], root: Path) -> str:
    return _hash(
        {
            str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(files)
            if file.is_file() and "__pycache__" not in file.parts
        }
    )
