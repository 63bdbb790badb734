"""`course release` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autograder.build.builder import build_lab
from autograder.build.outbound import destination
from autograder.commands import release
from autograder.course import ROOT, Course, load_course
from autograder.errors import ConfigurationError
from tests.autograder.build.test_publish import LAB, NAME, WHY, corrected, digest
from tests.conftest import MiniLab

Command = Callable[..., Result]


@pytest.fixture
def command(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `course release` in the small lab's instance; `course` is what course.toml says."""

    def run(*arguments: str, course: Course = fresh_mini.course) -> Result:
        monkeypatch.setattr(release, "load_course", lambda: course)
        monkeypatch.setenv("COLUMNS", "200")
        return CliRunner().invoke(release.release, [*arguments, "--instance", str(fresh_mini.instance.root)])

    return run


def test_a_dry_run_shows_the_table_of_the_real_run(fresh_mini: MiniLab, command: Command) -> None:
    before = digest(fresh_mini.instance.root)
    dry = command("--week", "1", "--dry-run")
    assert dry.exit_code == 0 and digest(fresh_mini.instance.root) == before
    real = command("--week", "1")
    assert real.exit_code == 0 and real.stdout == dry.stdout
    for text in (LAB, "2027-01-01 12:00 UTC", " new ", str(destination(fresh_mini.instance, LAB))):
        assert text in real.stdout
    assert "dry run: nothing was changed" in dry.stderr and real.stderr == ""
    again = command(LAB)
    assert again.exit_code == 0 and " unchanged " in again.stdout
    assert f"students already have {LAB}: nothing to do" in " ".join(again.stderr.split())


def test_an_erratum_on_the_command_line(fresh_mini: MiniLab, command: Command, mini_source: Callable) -> None:
    command(LAB)
    course = load_course(mini_source(corrected) / "course.toml")
    build_lab(course.labs[0], course, fresh_mini.instance)
    before = digest(destination(fresh_mini.instance, LAB))
    for options in ([], ["--dry-run"]):
        refused = command(LAB, *options, course=course)
        assert isinstance(refused.exception, ConfigurationError) and refused.exit_code == 1
        assert "erratum: 01-Scale cell scale_tensor-1, test_scale_tensor" in refused.stdout
        assert digest(destination(fresh_mini.instance, LAB)) == before
    assert command(LAB, "--dry-run", "--erratum", WHY, course=course).exit_code == 0
    done = command(LAB, "--json", "--erratum", WHY, course=course)
    assert json.loads(done.stdout) == [
        {
            "lab": LAB,
            "week": 1,
            "due": "2027-01-01T12:00:00+00:00",
            "state": "erratum",
            "changed": {NAME: ["scale_tensor-1", "test_scale_tensor"]},
            "notebooks": 1,
            "destination": str(destination(fresh_mini.instance, LAB)),
        }
    ]
    assert WHY in (destination(fresh_mini.instance, LAB) / "ERRATA.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "name LABS, --week N or --as-of WHEN, one of the three"),
        (["Lab-3.1", "--week", "1"], 2, "name LABS, --week N or --as-of WHEN, one of the three"),
        (["--week", "99"], 1, "error: no lab of course.toml is in week 99; the weeks are: 1"),
        (["--week", "1", "--instance", "INSTANCE"], 1, "there is no instance at"),
        (["--week", "1", "--dry-run", "--instance", "INSTANCE"], 1, "build the lab first"),
    ],
)
def test_a_person_reads_one_line_on_stderr(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    course = str(ROOT / ".venv-staff" / "bin" / "course")
    arguments = [str(tmp_path / "none") if item == "INSTANCE" else item for item in arguments]
    done = subprocess.run([sys.executable, course, "release", *arguments], capture_output=True, text=True)
    assert done.returncode == status and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()
