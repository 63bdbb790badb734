"""`make check`: everything about the code that needs no test run. A person and CI run the same list."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv-staff" / "bin"
CODE = [
    "autograder",
    "examples",
    "hub_config",
    "handin/src",
    "labkit/src",
    "reference_impl",
    "heldout",
    "source",
    "scripts",
    "tests",
]

STEPS: list[tuple[str, list[str]]] = [
    ("lint", [str(BIN / "ruff"), "check", *CODE]),
    ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", *CODE]),
    ("types", [str(BIN / "mypy")]),
    ("imports between rooms", [str(BIN / "lint-imports"), "--no-cache"]),
    ("asset licences", [sys.executable, "-m", "autograder.quality.asset_licences"]),
    ("release is current", [str(BIN / "course"), "build", "--check"]),
]


def main() -> int:
    """Run every step, even after a failure, and say which failed."""
    failed = []
    for name, command in STEPS:
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        word = "ok" if done.returncode == 0 else "FAILED"
        print(f"{word:7s} {name} ({time.monotonic() - started:.0f} s)", flush=True)
        if done.returncode != 0:
            failed.append(name)
            print(done.stdout[-6000:])
    if failed:
        print(f"make check: {', '.join(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
