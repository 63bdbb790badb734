"""The mutant runner tells a killed mutant from a survivor, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autograder.errors import QualityError
from autograder.quality.mutants import Mutant, missing_functions, read_mutants, run_mutants
from tests.conftest import MINI, MiniLab

FOLDER = MINI / "mutants"


def mutants() -> list[Mutant]:
    """The small lab's wrong solutions."""
    return read_mutants("Lab-0.1-Mini", "01-Scale", FOLDER)


def test_every_wrong_solution_dies_on_its_check(mini: MiniLab) -> None:
    fates = run_mutants(mini.master, mutants())
    assert [(fate.name, fate.why) for fate in fates] == [(mutant.name, "") for mutant in mutants()]


def test_what_is_not_as_the_file_says_is_told(mini: MiniLab) -> None:
    (wrong, *_) = mutants()
    cases = {
        "SURVIVED: every check passed": replace(wrong, replace="torch.round(scaled) + 0"),
        "not by 'hidden values'": replace(wrong, killed_by="hidden values"),
        "it should pass the visible checks but did not": replace(wrong, passes_visible=True),
        "occurs 0 times in the reference": replace(wrong, find="nowhere"),
        "no solution cell defines other": replace(wrong, function="other"),
        "SyntaxError": replace(wrong, replace="torch.round(scaled"),
        "used more than": replace(wrong, replace="[1 for _ in iter(int, 1)]"),
    }
    fates = run_mutants(mini.master, list(cases.values()))
    for fate, expected in zip(fates, cases, strict=True):
        assert expected in fate.why


def test_a_mutant_leaves_nothing_for_the_next(mini: MiniLab) -> None:
    (first, *_) = mutants()
    harmless = replace(first, name="harmless", find='"""Return', replace='"""Returns', killed_by="x")
    fates = run_mutants(mini.master, [first, harmless])
    assert fates[0].why == "" and fates[1].why == "SURVIVED: every check passed"


def test_a_function_without_mutant_is_named(mini: MiniLab) -> None:
    assert missing_functions(mini.master, [m for m in mutants() if m.function != "largest"]) == ["largest"]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "nb.toml").write_text("[[mutant]]\nname = 'x'\n")
    with pytest.raises(QualityError, match=r"nb\.toml.*function"):
        read_mutants("lab", "nb", tmp_path)
    assert read_mutants("lab", "other", tmp_path) == []
