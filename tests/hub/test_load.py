"""`course bench hub` with two students: what it counts is right. Its times are no test's business."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from autograder.course import ROOT
from tests.hub.conftest import needs_root


@pytest.mark.nightly
@pytest.mark.timeout(900)
@needs_root
def test_two_students_lose_nothing_and_hand_in_nothing_twice() -> None:
    command = [sys.executable, "-m", "autograder", "bench", "hub", "--students", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["handed_in"], found["lost"], found["doubled"], found["failed"]) == (4, 0, 0, {})
    assert {"log in", "hand in", "read feedback"} <= set(found["seconds"])
    assert found["memory_mb"] > 20 and found["service_cpu_ms"] > 0
