"""The chain of receipts, the cache of verdicts, and what the audit finds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from autograder.bundle import MasterNotebook
from autograder.chain import FIRST
from autograder.course import Instance
from autograder.errors import ReceiptError
from autograder.grade.audit import audit
from autograder.grade.cache import VerdictCache
from autograder.grade.course_grade import grade_lab
from autograder.grade.fingerprint import JUDGING
from autograder.grade.receipts import Receipts
from autograder.grade.verdict import CellVerdict, NotebookVerdict, Outcome
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from tests.conftest import MiniLab

EACH = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def chain(file: Path, length: int) -> Receipts:
    """A fresh file with this many receipts."""
    file.unlink(missing_ok=True)
    receipts = Receipts(file)
    for number in range(length):
        receipts.append({"lab": "L", "student": f"s{number % 3}", "notebook": "01", "points": number})
    return receipts


def test_the_last_receipt_of_each_notebook_counts(tmp_path: Path) -> None:
    receipts = chain(tmp_path / "receipts.jsonl", 7)
    assert {key[1]: item["points"] for key, item in receipts.latest().items()} == {"s0": 6, "s1": 4, "s2": 5}


@EACH
@given(st.integers(1, 6), st.data())
def test_any_change_of_a_line_shows(tmp_path: Path, length: int, data: st.DataObject) -> None:
    file = tmp_path / "receipts.jsonl"
    chain(file, length)
    lines = file.read_text().splitlines()
    number = data.draw(st.integers(0, length - 1))
    receipt = json.loads(lines[number])
    name = data.draw(st.sampled_from(sorted(receipt)))
    receipt[name] = data.draw(st.integers() | st.text(max_size=4))
    lines[number] = json.dumps(receipt, sort_keys=True)
    if lines == file.read_text().splitlines():
        return
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ReceiptError, match=r"line \d"):
        list(Receipts(file).read())


@EACH
@given(st.permutations(range(4)))
def test_a_removed_or_moved_line_shows(tmp_path: Path, order: list[int]) -> None:
    file = tmp_path / "receipts.jsonl"
    chain(file, 4)
    lines = file.read_text().splitlines()
    for changed in ([lines[i] for i in order], [lines[i] for i in order[1:]]):
        if changed == lines[: len(changed)]:
            continue
        file.write_text("\n".join(changed) + "\n")
        with pytest.raises(ReceiptError):
            list(Receipts(file).read())


@EACH
@given(st.integers(0, 5), st.integers(1, 200))
def test_a_line_cut_short_by_a_kill_is_taken_back(tmp_path: Path, length: int, cut: int) -> None:
    file = tmp_path / "receipts.jsonl"
    receipts = chain(file, length + 1)
    content = file.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    file.write_bytes(content[: max(last, len(content) - cut)])
    assert len(list(receipts.read())) == length
    receipts.append({"lab": "L", "student": "x", "notebook": "01"})
    assert [item["number"] for item in receipts.read()] == list(range(1, length + 2))


def test_a_receipt_longer_than_a_block_is_still_the_last(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts.jsonl")
    for _ in range(3):
        receipts.append({"lab": "L", "student": "s", "notebook": "01", "long": "x" * 150_000})
    assert len(list(receipts.read())) == 3


def test_a_last_line_that_is_no_receipt_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "receipts.jsonl"
    file.write_text("not json\n")
    with pytest.raises(ReceiptError, match="course audit"):
        Receipts(file).append({})


def verdict(points: float) -> NotebookVerdict:
    """A verdict on one cell."""
    return NotebookVerdict("01", [CellVerdict("a", Outcome.PASS, points, 3.0)])


def test_the_cache_returns_what_was_stored_and_nothing_half_written(tmp_path: Path) -> None:
    cache, key = VerdictCache(tmp_path), "ab" * 32
    assert cache.get(key) is None
    cache.put(key, verdict(2.0))
    assert cache.get(key) == verdict(2.0)
    (file,) = tmp_path.rglob("*.json")
    file.write_text(file.read_text()[:40])
    assert cache.get(key) is None
    cache.put(key, verdict(1.0))
    assert cache.get(key) == verdict(1.0)
    cache.forget(key)
    assert cache.get(key) is None


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "AB" * 32, "ab" * 31])
def test_a_key_is_never_a_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        VerdictCache(tmp_path).get(key)


def hand_in(lab: MiniLab, student: str, make: MasterNotebook | None = None) -> None:
    """Put the reference into a student's folder."""
    folder = lab.instance.submitted / student / lab.lab.id
    folder.mkdir(parents=True)
    nbformat.write(lab.reference(), folder / "01-Scale.ipynb")


def change_score(instance: Instance) -> None:
    """Raise a score behind the grader's back."""
    with open_gradebook(instance) as gradebook:
        gradebook.db.execute(text("UPDATE grade SET auto_score = 1 WHERE auto_score = 40"))
        gradebook.db.commit()


def test_the_audit_finds_what_was_changed_behind_the_grader(fresh_mini: MiniLab) -> None:
    instance, lab_id = fresh_mini.instance, fresh_mini.lab.id
    assert audit(instance).problems == [] and audit(instance).head == FIRST
    hand_in(fresh_mini, "ada")
    grade_lab(instance, lab_id)
    first = audit(instance)
    assert (first.receipts, first.problems) == (1, [])
    assert audit(instance, first.head).problems == []

    change_score(instance)
    (problem,) = audit(instance).problems
    assert "ada" in problem and "the gradebook says 1.0, receipt 1 says 40" in problem
    grade_lab(instance, lab_id, again=True)
    assert audit(instance).problems == []

    (instance.verdicts / lab_id / "ada" / "01-Scale.json").write_text("{}")
    assert "is not the verdict of receipt 2" in audit(instance).problems[0]

    instance.receipts.unlink()
    assert any("scores without a receipt" in problem for problem in audit(instance).problems)
    assert "receipts were removed" in audit(instance, first.head).problems[0]


def test_a_notebook_that_was_not_handed_in_needs_no_receipt_unless_it_has_points(fresh_mini: MiniLab) -> None:
    instance, lab_id = fresh_mini.instance, fresh_mini.lab.id
    with open_gradebook(instance) as gradebook, quiet():  # as nbgrader leaves it
        gradebook.add_student("eve")
        gradebook.add_submission(lab_id, "eve")
        gradebook.db.execute(text("UPDATE grade SET auto_score = 0"))
        gradebook.db.commit()
    assert audit(instance).problems == []
    with open_gradebook(instance) as gradebook:
        gradebook.db.execute(text("UPDATE grade SET auto_score = 5"))
        gradebook.db.commit()
    (problem,) = audit(instance).problems
    assert "eve" in problem and "scores without a receipt" in problem


def test_a_receipt_says_what_was_graded_and_under_which_limits(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    (receipt,) = Receipts(fresh_mini.instance.receipts).read()
    assert (
        receipt["version"] == fresh_mini.master.version
        and receipt["judged"] <= receipt["when"]
        and not receipt["fault"]
    )
    assert receipt["sandbox"].startswith("bubblewrap, seccomp, rlimits")
    assert set(receipt["environment"]) >= {"python", "libraries", "labkit", "grader", "held-out data"}
    assert receipt["limits"]["cell_seconds"] == 90
    (scale, *_) = receipt["cells"]
    assert scale["points"] == 40 and all(passed for *_, passed in scale["checks"]) and scale["checks"]


def test_every_module_that_the_judge_imports_is_part_of_the_environment() -> None:
    program = "import sys, autograder.grade.judge; print([n for n in sys.modules if n.startswith('autograder.grade.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.rpartition(".")[2] for name in ast.literal_eval(done.stdout)} <= set(JUDGING)
