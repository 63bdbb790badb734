"""nbgrader's own commands and the Assignment List's requests in a student's server, on a running service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from handin.client import READ_SECONDS
from handin.package import digest_of_folder

from autograder.course import ROOT
from tests.handin.running import RunningService, hanging

LAB = "Lab-0.1-Mini"
REQUEST = """
import json, sys
from nbgrader.server_extensions.assignment_list.handlers import AssignmentList
manager = AssignmentList()
manager.root_dir = "."
print("ANSWER" + json.dumps(getattr(manager, sys.argv[1])(*sys.argv[2:])))
"""


class Student:
    """A student's server: a home, the Hub's variables, the configuration that the Hub gives it."""

    def __init__(self, service: RunningService, home: Path, name: str) -> None:
        self.home = home / name
        self.home.mkdir()
        settings = self.home / ".settings"
        settings.mkdir()
        shutil.copy(ROOT / "hub_config" / "jupyter" / "user" / "nbgrader_config.py", settings)
        self.environment = {
            **{key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ},
            "HOME": str(self.home),
            "JUPYTER_CONFIG_PATH": str(settings),
            "JUPYTERHUB_USER": name,
            "JUPYTERHUB_API_TOKEN": f"token-{name}",
            "COURSE_EXCHANGE": str(service.folder / "exchange"),
            "HANDIN_URL": service.url,
            "PYTHONWARNINGS": "ignore",
        }

    def nbgrader(self, *arguments: str) -> tuple[int, str]:
        """Run a command as in the student's terminal."""
        return self._run(["-m", "nbgrader", *arguments])

    def ask(self, method: str, *arguments: str) -> Any:
        """What the Assignment List's page asks for."""
        status, text = self._run(["-c", REQUEST, method, *arguments])
        assert status == 0, text
        return json.loads(text.split("ANSWER", 1)[1].splitlines()[0])

    def _run(self, arguments: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.home, env=self.environment, capture_output=True, text=True
        )
        return done.returncode, done.stderr + done.stdout


@pytest.fixture
def ada(service: RunningService, tmp_path: Path) -> Student:
    """A student's server."""
    return Student(service, tmp_path, "ada")


def test_a_student_fetches_hands_in_and_reads_feedback(ada: Student, service: RunningService) -> None:
    (entry,) = ada.ask("list_assignments", "model-compression")["value"]
    assert (entry["assignment_id"], entry["status"]) == (LAB, "released")
    status, text = ada.nbgrader("fetch_assignment", LAB)
    assert status == 0 and f"Fetched as: model-compression {LAB}" in text
    folder = ada.home / LAB
    (folder / "01-Scale.ipynb").write_text('{"mine": 1}')
    (folder / ".secret").write_text("x")
    (folder / "passwd").symlink_to("/etc/passwd")
    assert ada.ask("submit_assignment", "model-compression", LAB) == {"success": True}
    receipt = json.loads((ada.home / ".handin-receipts" / f"{LAB}-attempt-1.json").read_text())
    assert receipt["sha256"] == digest_of_folder(folder, ["01-Scale.ipynb", "02-More.ipynb"])
    assert service.client("ada").attempt(receipt["id"])["01-Scale.ipynb"] == b'{"mine": 1}'
    service.client("collector").put_feedback(receipt["id"], "ada", "01-Scale", b"<p>good</p>")
    service.client("collector").put_feedback(receipt["id"], "ada", "02-More", b"<p>good</p>")
    released, submitted = ada.ask("list_assignments", "model-compression")["value"]
    assert released["status"] == "fetched" and released["path"] == LAB
    (attempt,) = submitted["submissions"]
    assert attempt["has_exchange_feedback"] and not attempt["has_local_feedback"]
    assert ada.ask("fetch_feedback", "model-compression", LAB) == {"success": True}
    _, submitted = ada.ask("list_assignments", "model-compression")["value"]
    place = submitted["submissions"][0]["local_feedback_path"]
    assert (ada.home / place / "01-Scale.html").read_text() == "<p>good</p>"
    # what is in the folder now is not what was handed in, but can be handed in again
    status, text = ada.nbgrader("submit", LAB)
    assert status == 0 and "attempt 2" in text and "passwd stays behind" in text
    assert "hidden files stay behind: .secret\n" in text


def test_many_hidden_files_are_one_line(ada: Student) -> None:
    ada.nbgrader("fetch_assignment", LAB)
    for name in (".a", ".b", ".c", ".d", ".e"):
        (ada.home / LAB / name).write_text("x")
    (ada.home / LAB / ".ipynb_checkpoints").mkdir()
    status, text = ada.nbgrader("submit", LAB)
    assert status == 0 and text.count("stay behind") == 1
    assert "hidden files stay behind: .a, .b, .c and 2 more\n" in text


def test_a_lab_can_be_fetched_after_its_feedback(ada: Student, service: RunningService) -> None:
    """As by whoever handed in by the page, and has nothing of the lab in the Hub's home."""
    attempt = service.client("ada").hand_in(LAB, {"01-Scale.ipynb": b"{}"})["id"]
    service.client("collector").put_feedback(attempt, "ada", "01-Scale", b"<p>good</p>")
    assert ada.ask("fetch_feedback", "model-compression", LAB) == {"success": True}
    assert (ada.home / LAB / "feedback").is_dir()
    assert ada.ask("list_assignments", "model-compression")["value"][0]["status"] == "released"
    (ada.home / LAB / "notes.txt").write_text("mine")
    assert ada.ask("fetch_assignment", "model-compression", LAB) == {"success": True}
    assert (ada.home / LAB / "02-More.ipynb").is_file() and (ada.home / LAB / "feedback").is_dir()
    assert ada.ask("list_assignments", "model-compression")["value"][0]["status"] == "fetched"


def test_a_service_that_hangs_keeps_no_list_waiting(ada: Student, service: RunningService) -> None:
    """nbgrader asks twice for one list, and a student's server answers nobody meanwhile."""
    ada.nbgrader("fetch_assignment", LAB)
    with hanging(service):
        began = time.monotonic()
        (entry,) = ada.ask("list_assignments", "model-compression")["value"]
        assert time.monotonic() - began < 2 * READ_SECONDS + 10 and entry["status"] == "fetched"
    assert len(ada.ask("list_assignments", "model-compression")["value"]) == 1


def test_fetching_again_brings_back_only_what_is_missing(ada: Student) -> None:
    ada.nbgrader("fetch_assignment", LAB)
    (ada.home / LAB / "01-Scale.ipynb").write_text("my work")
    (ada.home / LAB / "02-More.ipynb").unlink()
    status, text = ada.nbgrader("fetch_assignment", LAB)
    assert status != 0 and "You already have a copy" in text
    status, text = ada.nbgrader("fetch_assignment", LAB, "--replace")
    assert status == 0, text
    assert (ada.home / LAB / "01-Scale.ipynb").read_text() == "my work"
    assert (ada.home / LAB / "02-More.ipynb").read_text() == "{}"


def test_an_outage_breaks_no_page_and_loses_no_work(ada: Student, service: RunningService) -> None:
    ada.nbgrader("fetch_assignment", LAB)
    service.kill()
    (entry,) = ada.ask("list_assignments", "model-compression")["value"]
    assert entry["status"] == "fetched" and len(entry["notebooks"]) == 2
    answer = ada.ask("submit_assignment", "model-compression", LAB)
    assert not answer["success"] and "Your files are where they were" in answer["value"]
    assert not (ada.home / ".handin-receipts").exists()
    service.start()
    assert ada.ask("submit_assignment", "model-compression", LAB) == {"success": True}


def test_what_the_service_refuses_reaches_the_student(ada: Student, service: RunningService) -> None:
    status, text = ada.nbgrader("submit", LAB)
    assert status != 0 and "fetch the lab first" in text
    ada.nbgrader("fetch_assignment", LAB)
    (ada.home / LAB / "01-Scale.ipynb").write_bytes(b"\0" * (21 << 20))
    status, text = ada.nbgrader("submit", LAB)
    assert status != 0 and "over the limit of 20 MiB for one notebook" in text
    ada.environment["JUPYTERHUB_API_TOKEN"] = "token-expired"
    (ada.home / LAB / "01-Scale.ipynb").write_bytes(b"{}")
    status, text = ada.nbgrader("submit", LAB)
    assert status != 0 and "no longer, one of the Hub's" in text
    assert service.client("ada").overview()["attempts"] == []
