"""The command line: help, one-line errors, JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder.commands.grade import chosen_instance
from autograder.course import ROOT
from autograder.errors import ConfigurationError
from tests.conftest import MiniLab

COURSE = [str(ROOT / ".venv-staff" / "bin" / "course")]


def course(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `course` as a person does."""
    return subprocess.run([sys.executable, *COURSE, *arguments], capture_output=True, text=True)


def test_help_lists_the_commands() -> None:
    done = course("--help")
    assert done.returncode == 0
    for command in ("backup", "build", "collect", "feedback", "grade", "release", "restore", "verify"):
        assert f"  {command} " in done.stdout


def test_an_unknown_lab_is_one_line_and_exit_status_1() -> None:
    done = course("grade", "Lab-9")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: unknown lab 'Lab-9' in course.toml; the labs are: Lab-3.1")
    assert "Traceback" not in done.stderr


def test_a_wrong_option_is_a_usage_error() -> None:
    done = course("build", "--lang", "fr")
    assert done.returncode == 2 and "'fr' is not one of 'en', 'zh-TW'" in done.stderr


def test_grade_prints_one_json_list(fresh_mini: MiniLab) -> None:
    folder = fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(fresh_mini.reference(), folder / "01-Scale.ipynb")
    done = course("grade", fresh_mini.lab.id, "--json", "--instance", str(fresh_mini.instance.root))
    assert done.returncode == 0, done.stderr
    (item,) = json.loads(done.stdout)
    assert (item["student"], item["score"], item["maximum"]) == ("ada", 90.0, 100.0)
    assert [cell["outcome"] for cell in item["verdicts"][0]["cells"]] == ["pass"] * 3
    table = course("grade", fresh_mini.lab.id, "--instance", str(fresh_mini.instance.root))
    assert table.returncode == 0 and "90/100" in table.stdout
    feedback = course("feedback", fresh_mini.lab.id, "--instance", str(fresh_mini.instance.root))
    assert feedback.returncode == 0 and feedback.stdout.startswith("1 pages below")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work in another account's folder")
def test_root_writes_nothing_into_another_accounts_instance(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(ConfigurationError, match=r"belongs to the account #12345.*runuser -u #12345"):
        chosen_instance(tmp_path)
    assert chosen_instance(tmp_path, for_root=True).root == tmp_path and list(tmp_path.iterdir()) == []
