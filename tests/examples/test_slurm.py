"""examples/slurm_grading.py without Slurm: the job script, and a run in which `sbatch` starts it right here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from autograder.commands.certificates import write_certificates
from autograder.course import ROOT
from tests.conftest import MiniLab

EXAMPLE = ROOT / "examples" / "slurm_grading.py"
SBATCH = """#!/bin/sh
cp "$1" "$LOG.$$"  # the script is removed when this has ended
setsid sh "$LOG.$$" >> "$LOG" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -TERM -- "-$job"; done
"""


STOP_SECONDS = 60
"""For workers to notice that their job was cancelled, on a machine that is busy."""


def processes_with(text: str) -> list[str]:
    """Command lines of running processes that hold this text."""
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if text in line]


def example(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example with stand-ins for Slurm's programs."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    write_certificates(folder / "certificates")
    command = [sys.executable, str(EXAMPLE), "--certificates", str(folder / "certificates")]
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LOG": str(folder / "jobs.log"),
    }
    return subprocess.run(
        [*command, "--logs", str(folder / "logs"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_job_script_starts_one_worker_with_encryption(tmp_path: Path) -> None:
    done = example(tmp_path, "--queue", "short", "--walltime", "01:00:00", "--print-script")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("#!") and "#SBATCH -p short" in lines and "#SBATCH -t 01:00:00" in lines
    assert "#SBATCH --cpus-per-task=1" in lines and "#SBATCH --mem=8G" in lines
    (worker,) = [line for line in lines if "dask_worker" in line]
    assert worker.startswith(
        f"{ROOT / '.venv-staff' / 'bin' / 'python'} -m distributed.cli.dask_worker tls://"
    )
    for option in ("--nthreads 1", "--no-dashboard", "--dashboard-address 127.0.0.1:0"):
        assert option in worker
    for option, name in (("ca-file", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")):
        assert f"--tls-{option} {tmp_path / 'certificates' / name}" in worker
    assert "PRIVATE" not in done.stdout


@pytest.mark.timeout(300)
def test_a_run_grades_and_stops_its_jobs(fresh_mini: MiniLab, tmp_path: Path) -> None:
    folder = fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(fresh_mini.reference(), folder / "01-Scale.ipynb")
    command = ["grade", fresh_mini.lab.id, "--instance", str(fresh_mini.instance.root)]
    done = example(tmp_path, "--jobs", "1", "--", *command)
    assert done.returncode == 0, done.stderr
    assert "90/100" in done.stdout
    log = (tmp_path / "jobs.log").read_text()
    assert "Registered to" in log and "tls://" in log
    deadline = time.monotonic() + STOP_SECONDS
    while left := processes_with(str(tmp_path)):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
