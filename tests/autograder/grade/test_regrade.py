"""Grading again: only what changed, and with what a person wrote left alone."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from sqlalchemy import text

from autograder.bundle import Bundle, MasterNotebook, write_bundle
from autograder.grade import current, fingerprint, preprocessors, work
from autograder.grade.audit import audit
from autograder.grade.course_grade import grade_lab
from autograder.grade.engine import SERIAL
from autograder.grade.receipts import Receipts
from autograder.grade.regrade import Change, regrade_lab
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.quality.handins import replace_solution
from tests.conftest import MiniLab

DOUBLES = "def scale_tensor(x, factor):\n    return torch.round(x * factor * 1.0)  # {}\n"


def hand_in(lab: MiniLab, student: str, note: str = "") -> None:
    """Hand in a solution of the student's own, later ones in the place of earlier ones."""
    folder = lab.instance.submitted / student / lab.lab.id
    folder.mkdir(parents=True, exist_ok=True)
    solved = replace_solution(lab.reference(), "scale_tensor", DOUBLES.format(student + note))
    nbformat.write(solved, folder / "01-Scale.ipynb")


def no_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when anything is executed."""

    def refuse(payload: bytes) -> bytes:
        raise AssertionError("something was judged")

    monkeypatch.setattr(preprocessors.Grader, "attempt", lambda self, job: refuse(b""))
    monkeypatch.setattr(work, "own_slot", refuse)


def with_check(lab: MiniLab, line: str) -> None:
    """Build the lab again with one more line in a hidden test."""
    cells = [
        type(cell)(**{**cell.__dict__, "full": f"{cell.full}\n{line}"})
        if cell.grade_id == "test_scale_tensor"
        else cell
        for cell in lab.master.cells
    ]
    notebook = MasterNotebook(lab.master.id, lab.master.metadata, cells)
    write_bundle(Bundle(lab.bundle.lab, lab.bundle.language, [], [notebook]), lab.instance.bundle(lab.lab.id))


def regrade(lab: MiniLab) -> list[Change]:
    """Regrade in this process; the changes."""
    return regrade_lab(lab.instance, lab.lab.id, None, SERIAL, lambda standing: None)[1]


def test_a_rerun_without_a_change_executes_nothing_and_writes_nothing(
    fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for student in ("ada", "ben"):
        hand_in(fresh_mini, student)
    first = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    before = fresh_mini.instance.receipts.read_bytes()
    no_judging(monkeypatch)
    again = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert [item.unchanged for item in first + again] == [False, False, True, True]
    assert [item.score for item in again] == [item.score for item in first] == [90, 90]
    assert fresh_mini.instance.receipts.read_bytes() == before


def test_equal_hand_ins_are_judged_once(fresh_mini: MiniLab) -> None:
    for student in ("ada", "ben"):
        folder = fresh_mini.instance.submitted / student / fresh_mini.lab.id
        folder.mkdir(parents=True)
        nbformat.write(fresh_mini.reference(), folder / "01-Scale.ipynb")
    judged = []
    grade_lab(fresh_mini.instance, fresh_mini.lab.id, watch=lambda standing: judged.append(standing.judged))
    assert max(judged) == 1
    assert [item["student"] for item in Receipts(fresh_mini.instance.receipts).read()] == ["ada", "ben"]


def test_a_new_hand_in_is_graded_alone(fresh_mini: MiniLab) -> None:
    for student in ("ada", "ben"):
        hand_in(fresh_mini, student)
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    hand_in(fresh_mini, "ben", " again")
    graded = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert {item.student: item.unchanged for item in graded} == {"ada": True, "ben": False}
    assert [item["student"] for item in Receipts(fresh_mini.instance.receipts).read()] == [
        "ada",
        "ben",
        "ben",
    ]


def test_a_corrected_test_changes_grades_and_says_whose_and_why(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    with_check(fresh_mini, "raise AssertionError('a stricter check')")
    assert regrade(fresh_mini) == [
        Change(
            "ada", "01-Scale", "test_scale_tensor", "40/40 pass", "0/40 fail", "the notebook's code or tests"
        )
    ]
    assert regrade(fresh_mini) == []


def test_a_corrected_sentence_changes_nothing(fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    cells = [
        type(cell)(**{**cell.__dict__, "full": cell.full + " Better said."})
        if cell.kind == "markdown"
        else cell
        for cell in fresh_mini.master.cells
    ]
    notebook = MasterNotebook(fresh_mini.master.id, fresh_mini.master.metadata, cells)
    bundle = Bundle(fresh_mini.bundle.lab, fresh_mini.bundle.language, [], [notebook])
    assert (
        write_bundle(bundle, fresh_mini.instance.bundle(fresh_mini.lab.id)).version
        != fresh_mini.bundle.version
    )
    no_judging(monkeypatch)
    assert regrade(fresh_mini) == []


def test_another_environment_is_a_reason_to_judge_again(
    fresh_mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    changed = {**fingerprint.environment(), "libraries": "another release of torch"}
    for module in (fingerprint, preprocessors, current, work):
        monkeypatch.setattr(module, "environment", lambda: changed)
    (graded,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert not graded.unchanged
    old, new = Receipts(fresh_mini.instance.receipts).read()
    assert new["judged"] >= old["judged"] and new["environment"] != old["environment"]


def test_scores_and_comments_of_a_person_survive(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    where = ("01-Scale", fresh_mini.lab.id, "ada")
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        gradebook.find_grade("test_largest", *where).manual_score = 12.0
        gradebook.find_grade("test_scale_tensor", *where).manual_score = 7.0
        gradebook.find_comment("question", *where).manual_comment = "Well argued."
        for name in ("test_largest", "test_scale_tensor"):
            gradebook.find_grade(name, *where).needs_manual_grade = False
        gradebook.db.commit()
    with_check(fresh_mini, "raise AssertionError('a stricter check')")
    regrade(fresh_mini)
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        largest = gradebook.find_grade("test_largest", *where)
        scale = gradebook.find_grade("test_scale_tensor", *where)
        assert (largest.manual_score, largest.needs_manual_grade) == (12.0, False)
        assert (scale.manual_score, scale.auto_score, scale.needs_manual_grade) == (7.0, 0.0, True)
        assert gradebook.find_comment("question", *where).comment == "Well argued."


def test_another_written_answer_asks_for_another_look(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    where = ("question", "01-Scale", fresh_mini.lab.id, "ada")
    with open_gradebook(fresh_mini.instance) as gradebook, quiet():
        grade = gradebook.find_grade(*where)
        grade.manual_score, grade.needs_manual_grade = 8.0, False
        gradebook.db.commit()
    for changed in (False, True):
        if changed:
            hand_in(fresh_mini, "ada", " and another answer")
        grade_lab(fresh_mini.instance, fresh_mini.lab.id, again=True)
        with open_gradebook(fresh_mini.instance) as gradebook, quiet():
            grade = gradebook.find_grade(*where)
            assert (grade.manual_score, grade.needs_manual_grade) == (8.0, changed)


def set_scores(lab: MiniLab) -> None:
    """What restoring an older gradebook does."""
    with open_gradebook(lab.instance) as gradebook:
        gradebook.db.execute(text("UPDATE grade SET auto_score = 0"))
        gradebook.db.commit()


def cut_verdict(lab: MiniLab) -> None:
    """What a power cut may do."""
    (lab.instance.verdicts / lab.lab.id / "ada" / "01-Scale.json").write_text('{"note')


def cut_record(lab: MiniLab) -> None:
    """The same to what intake wrote."""
    lab.instance.intake_record("ada", lab.lab.id).write_text("")


@pytest.mark.parametrize("damage", [set_scores, cut_verdict, cut_record])
def test_what_does_not_fit_the_receipts_is_put_right(
    fresh_mini: MiniLab, damage: Callable[[MiniLab], None]
) -> None:
    hand_in(fresh_mini, "ada")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    damage(fresh_mini)
    (graded,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert (graded.score, graded.failure) == (90.0, "")
    assert audit(fresh_mini.instance).problems == []


def test_a_grade_from_outside_the_sandbox_does_not_count_inside(fresh_mini: MiniLab) -> None:
    hand_in(fresh_mini, "ada")
    (first,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id, unsafe=True)
    (second,) = grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    assert (first.unchanged, second.unchanged) == (False, False)
    assert second.verdicts[0].sandbox.startswith("bubblewrap")


def test_a_hand_in_that_vanishes_is_not_taken_for_an_empty_one(fresh_mini: MiniLab) -> None:
    folder = fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id
    with pytest.raises(FileNotFoundError, match="the hand-in is gone"):
        preprocessors.take_in_one(fresh_mini.instance, "ada", fresh_mini.lab.id)
    assert not folder.exists() and not list(folder.parent.glob(".*"))
