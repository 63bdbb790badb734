"""From submitted folder to gradebook: `course grade`, nbgrader's own command, bad input."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.course import ROOT, Instance
from autograder.errors import ConfigurationError, CourseError, GradebookError, IntakeError, SandboxError
from autograder.grade import course_grade, sandbox
from autograder.grade.course_grade import Graded, grade_lab
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.quality.handins import released_notebook, replace_solution
from autograder.quality.plain import automatic_scores, plain_autograde
from autograder.report.feedback import make_feedback
from tests.conftest import MiniLab

FAST = {"cell_seconds": 20, "check_seconds": 4, "disk": 32}


def hand_in(mini: MiniLab, student: str, notebook: NotebookNode | bytes) -> Path:
    """Put one hand-in where nbgrader collects them."""
    folder = mini.instance.submitted / student / mini.lab.id
    folder.mkdir(parents=True)
    file = folder / "01-Scale.ipynb"
    if isinstance(notebook, bytes):
        file.write_bytes(notebook)
    else:
        nbformat.write(notebook, file)
    return folder


def grade(mini: MiniLab, student: str | None = None) -> dict[str, Graded]:
    """Grade and index by student."""
    return {item.student: item for item in grade_lab(mini.instance, mini.lab.id, student, limits=FAST)}


def test_scores_reach_the_gradebook_and_files_stay_clean(fresh_mini: MiniLab) -> None:
    gradebook_before = fresh_mini.instance.gradebook.read_bytes()
    folder = hand_in(fresh_mini, "ada", fresh_mini.reference())
    (folder / "torch.py").write_text("raise SystemExit('imported')")
    (folder / "nbgrader_config.py").write_text("raise SystemExit('read')")
    (folder / "gradebook.db").symlink_to(fresh_mini.instance.gradebook)
    hand_in(fresh_mini, "bob", released_notebook(fresh_mini.master))
    graded = grade(fresh_mini)
    assert (graded["ada"].score, graded["ada"].maximum, graded["ada"].failure) == (90.0, 100.0, "")
    assert graded["bob"].score == 0.0
    notes = graded["ada"].verdicts[0].notes
    assert notes == [
        f"{name} was not taken: not a file of this lab"
        for name in ("gradebook.db", "nbgrader_config.py", "torch.py")
    ]
    autograded = fresh_mini.instance.autograded / "ada" / fresh_mini.lab.id
    assert sorted(path.name for path in autograded.iterdir()) == ["01-Scale.ipynb"]
    assert (fresh_mini.instance.received / "ada" / fresh_mini.lab.id / "torch.py").exists()
    assert gradebook_before[:16] == fresh_mini.instance.gradebook.read_bytes()[:16]


def test_the_graded_notebook_shows_outcomes_but_no_hidden_test(fresh_mini: MiniLab) -> None:
    wrong = replace_solution(
        fresh_mini.reference(), "largest", "def largest(x): return 2.0\nRunningSum = None\n"
    )
    hand_in(fresh_mini, "ada", wrong)
    grade(fresh_mini)
    text = (fresh_mini.instance.autograded / "ada" / fresh_mini.lab.id / "01-Scale.ipynb").read_text()
    assert "largest of nothing: 2.0, expected 0.0: an empty tensor has no maximum" in text
    assert "hidden_generator" not in text and "torch.zeros(0)" not in text


def test_a_regrade_changes_nothing_and_keeps_what_people_did(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada", fresh_mini.reference())
    grade(fresh_mini)
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        question = gradebook.find_grade("question", "01-Scale", fresh_mini.lab.id, "ada")
        assert question.needs_manual_grade and question.auto_score is None
        question.manual_score, question.needs_manual_grade = 7.0, False
        override = gradebook.find_grade("test_largest", "01-Scale", fresh_mini.lab.id, "ada")
        override.manual_score = 15.0
        gradebook.find_comment("question", "01-Scale", fresh_mini.lab.id, "ada").manual_comment = "well put"
        gradebook.db.commit()
    assert grade(fresh_mini)["ada"].score == 40 + 15 + 20 + 7
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        for name in ("question", "test_largest"):
            assert not gradebook.find_grade(name, "01-Scale", fresh_mini.lab.id, "ada").needs_manual_grade
        assert gradebook.find_comment("question", "01-Scale", fresh_mini.lab.id, "ada").comment == "well put"


def test_a_changed_automatic_score_asks_for_a_person(fresh_mini: MiniLab) -> None:
    folder = hand_in(fresh_mini, "ada", fresh_mini.reference())
    grade(fresh_mini)
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        gradebook.find_grade("test_largest", "01-Scale", fresh_mini.lab.id, "ada").manual_score = 15.0
        gradebook.db.commit()
    worse = replace_solution(
        fresh_mini.reference(), "largest", "def largest(x): return 0.0\nRunningSum = None\n"
    )
    nbformat.write(worse, folder / "01-Scale.ipynb")
    grade(fresh_mini)
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        found = gradebook.find_grade("test_largest", "01-Scale", fresh_mini.lab.id, "ada")
        assert found.needs_manual_grade and found.auto_score == 0 and found.manual_score == 15


def test_nbgraders_own_command_gives_the_same(fresh_mini: MiniLab) -> None:
    wrong = replace_solution(
        fresh_mini.reference(), "scale_tensor", "import os\ndef scale_tensor(x, factor): os._exit(0)\n"
    )
    folder = hand_in(fresh_mini, "ada", wrong)
    (folder / "evil.ipynb").symlink_to(fresh_mini.instance.gradebook)
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", fresh_mini.lab.id],
        cwd=fresh_mini.instance.root,
        env={**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scores = automatic_scores(fresh_mini.instance, fresh_mini.lab.id)
    assert scores == {
        ("ada", "01-Scale", "test_scale_tensor"): 0.0,
        ("ada", "01-Scale", "test_largest"): 30.0,
        ("ada", "01-Scale", "test_running_sum"): 20.0,
    }
    assert (fresh_mini.instance.received / "ada" / fresh_mini.lab.id / "evil.ipynb").is_symlink()


PARITY: dict[str, Callable[[NotebookNode], NotebookNode]] = {
    "reference": lambda nb: nb,
    "float64": lambda nb: replace_solution(
        nb, "scale_tensor", "def scale_tensor(x, factor):\n    return torch.round(x.double() * factor)\n"
    ),
    "wrong": lambda nb: replace_solution(
        nb, "scale_tensor", "def scale_tensor(x, factor):\n    return x * factor\n"
    ),
    "raises": lambda nb: replace_solution(
        nb, "largest", "RunningSum = None\ndef largest(x):\n    raise ValueError(x)\n"
    ),
    "empty": lambda nb: replace_solution(nb, "largest", ""),
}


def test_parity_with_plain_nbgrader_on_trusted_handins(fresh_mini: MiniLab, tmp_path: Path) -> None:
    for name, change in PARITY.items():
        hand_in(fresh_mini, name, change(fresh_mini.reference()))
    hand_in(fresh_mini, "untouched", released_notebook(fresh_mini.master))
    plain = plain_autograde(fresh_mini.instance, fresh_mini.lab.id, tmp_path / "plain")
    grade(fresh_mini)
    assert automatic_scores(fresh_mini.instance, fresh_mini.lab.id) == plain.scores
    assert len(plain.scores) == 3 * (len(PARITY) + 1)


def test_known_differences_from_plain_nbgrader(fresh_mini: MiniLab, tmp_path: Path) -> None:
    """Plain nbgrader fails a function that writes to stderr, and believes an object that lies."""
    noisy = "import sys\ndef scale_tensor(x, factor):\n    print('note', file=sys.stderr)\n    return torch.round(x * factor)\n"
    patched = "for name in dir(checks):\n    if name.startswith('assert'): setattr(checks, name, lambda *a, **k: None)\n"
    hand_in(fresh_mini, "noisy", replace_solution(fresh_mini.reference(), "scale_tensor", noisy))
    liar = replace_solution(
        released_notebook(fresh_mini.master),
        "scale_tensor",
        patched + "def scale_tensor(x, factor): return x\n",
    )
    hand_in(fresh_mini, "liar", liar)
    plain = plain_autograde(fresh_mini.instance, fresh_mini.lab.id, tmp_path / "plain").scores
    grade(fresh_mini)
    ours = automatic_scores(fresh_mini.instance, fresh_mini.lab.id)
    cell = ("01-Scale", "test_scale_tensor")
    assert (plain["noisy", *cell], ours["noisy", *cell]) == (0.0, 40.0)
    assert (plain["liar", *cell], ours["liar", *cell]) == (40.0, 0.0)


BAD_FILES = {
    "not a notebook": (b"%PDF-1.7", "not a notebook: not JSON"),
    "an empty file": (b"", "the file is empty"),
    "another kind of JSON": (b'{"a": 1}', "not a notebook: it has no list of cells"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_notebook_scores_zero_and_says_why(fresh_mini: MiniLab, name: str) -> None:
    content, reason = BAD_FILES[name]
    hand_in(fresh_mini, "ada", content)
    (item,) = grade(fresh_mini).values()
    assert item.score == 0 and item.failure == ""
    assert any(
        note.startswith(f"the notebook could not be read: {reason}") for note in item.verdicts[0].notes
    )


def test_one_students_odd_folder_keeps_nobody_waiting(fresh_mini: MiniLab) -> None:
    odd = hand_in(fresh_mini, "ada", fresh_mini.reference())
    (odd / "timestamp.txt").write_text("yesterday")
    (fresh_mini.instance.submitted / "bob").mkdir()
    (fresh_mini.instance.submitted / "bob" / fresh_mini.lab.id).write_text("a file")
    raises = "RunningSum = None\ndef largest(x): raise ValueError('\\ud800')\n"
    hand_in(fresh_mini, "cat", replace_solution(fresh_mini.reference(), "largest", raises))
    picture = fresh_mini.reference()
    picture.cells[-1].source = "![p](attachment:p.png)"
    hand_in(fresh_mini, "dan", picture)
    graded = grade(fresh_mini)
    assert {name: item.score for name, item in graded.items()} == {"ada": 90, "bob": 0, "cat": 40, "dan": 90}
    assert graded["bob"].failure and not graded["ada"].failure and not graded["cat"].failure
    assert len(make_feedback(fresh_mini.instance, fresh_mini.lab.id)) == 3


def test_another_labs_notebook_scores_zero_and_says_why(fresh_mini: MiniLab) -> None:
    other = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("answer = 42")])
    hand_in(fresh_mini, "ada", other)
    (item,) = grade(fresh_mini).values()
    assert item.score == 0
    assert item.verdicts[0].notes[:2] == [
        "the cell scale_tensor was missing; the released one was put in its place",
        "the cell largest was missing; the released one was put in its place",
    ]


def test_a_folder_without_notebooks_is_stored_as_nothing(fresh_mini: MiniLab) -> None:
    (fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id).mkdir(parents=True)
    (item,) = grade(fresh_mini).values()
    assert item.score == 0 and "No notebooks were matched" in item.failure


def test_an_unknown_lab_says_what_to_build(fresh_mini: MiniLab) -> None:
    with pytest.raises(ConfigurationError, match="build the lab first"):
        grade_lab(fresh_mini.instance, "Lab-9.9-None")


def test_no_handin_says_where_one_is_expected(fresh_mini: MiniLab) -> None:
    with pytest.raises(
        IntakeError, match=r"eve has handed in nothing .* expected notebooks in .*submitted/eve"
    ):
        grade_lab(fresh_mini.instance, fresh_mini.lab.id, "eve")


def test_no_bubblewrap_stops_before_anything_is_touched(
    fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hand_in(fresh_mini, "ada", fresh_mini.reference())
    monkeypatch.setattr(sandbox.shutil, "which", lambda tool, path=None: None)
    with pytest.raises(SandboxError, match="apt-get install -y bubblewrap"):
        grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert folder.exists() and not fresh_mini.instance.received.exists()


def test_a_locked_gradebook_stops_before_anything_is_touched(
    fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course_grade, "require_writable", lambda instance: _impatient(instance))
    folder = hand_in(fresh_mini, "ada", fresh_mini.reference())
    holder = sqlite3.connect(fresh_mini.instance.gradebook)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(GradebookError, match=r"another program holds it. Nothing was changed"):
            grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    finally:
        holder.close()
    assert folder.exists() and not fresh_mini.instance.received.exists()


def _impatient(instance: Instance) -> None:
    from autograder.gradebook import require_writable

    require_writable(instance, patience=0.1)


def test_a_read_only_gradebook_says_so(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada", fresh_mini.reference())
    fresh_mini.instance.gradebook.write_bytes(b"not a database at all, " * 50)
    with pytest.raises(GradebookError, match=r"gradebook\.db cannot be used .*Restore it from a backup"):
        grade_lab(fresh_mini.instance, fresh_mini.lab.id)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
def test_a_gradebook_without_write_permission_says_so(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada", fresh_mini.reference())
    fresh_mini.instance.gradebook.chmod(stat.S_IRUSR)
    with pytest.raises(CourseError, match="read-only"):
        grade_lab(fresh_mini.instance, fresh_mini.lab.id)
