"""The sandbox of a person who is not root: the same walls, without control groups or accounts of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyseccomp
import pytest

from autograder.course import ROOT

ACCOUNT = 65_533
PROGRAM = """
import json, sys
from dataclasses import asdict
from autograder.grade.sandbox import Limits, Sandbox
from autograder.grade.slot import Slot

ASK = '''
import os, ctypes
open("/tmp/x", "w").write("x")
print(os.getuid() == OUTSIDE, ctypes.CDLL(None).unshare(0x10000000), os.path.exists(OUT))
'''.replace("OUTSIDE", str(sys.argv[1])).replace("OUT", repr(sys.argv[2]))
GRADE = '''
from labkit import checks
checks.assert_true(double(21) == 42, "twice 21")
'''
cells = [
    {"id": "a", "kind": "solution", "source": "def double(x): return 2 * x", "points": 0, "defines": ["double"]},
    {"id": "b", "kind": "student", "source": ASK, "points": 0, "defines": []},
    {"id": "g", "kind": "grade", "source": GRADE, "points": 5.0, "defines": []},
]
for warm in (True, False):
    with Slot(Sandbox(Limits(), warm=warm)) as slot:
        job = {"notebook": "n", "seed": 1, "limits": asdict(Limits()), "files": {}, "cells": cells}
        print(slot.judge(job).to_json())
"""


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another account; others are ordinary already"
)
def test_an_ordinary_users_sandbox_judges_and_isolates(tmp_path: Path) -> None:
    home = Path("/var/tmp") / f"course-ordinary-{os.getpid()}"  # pytest's own folders are closed to others
    home.mkdir(mode=0o755)
    try:
        for name in ("autograder", "reference_impl", "heldout"):
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(pyseccomp.__file__, home)
        (home / ".venv").symlink_to((ROOT / ".venv").resolve())
        for path in [home, *home.rglob("*")]:
            os.chown(path, ACCOUNT, ACCOUNT, follow_symlinks=False)
        command = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
        command += [str(home / ".venv" / "bin" / "python"), "-c", PROGRAM, str(ACCOUNT), str(home)]
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": str(home),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(home)
    warm, fresh = (json.loads(line) for line in done.stdout.splitlines())
    for verdict in (warm, fresh):
        assert [cell["points"] for cell in verdict["cells"]] == [5.0]
        assert verdict["runs"][1]["outputs"][0]["text"] == "True -1 False\n"
    assert "warm start" in warm["sandbox"] and "fresh start" in fresh["sandbox"]
