"""The wire under coverage-guided fuzzing: a minute's worth by hand, an hour by night."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("FUZZ_SECONDS", "3600"))


@pytest.mark.nightly
@pytest.mark.timeout(SECONDS + 600)
def test_no_bytes_make_the_decoder_fail_hang_or_take_much_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.labkit.fuzz_codec", str(tmp_path / "corpus")]
    done = subprocess.run(
        [*command, f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
