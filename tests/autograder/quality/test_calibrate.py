"""Tolerance bounds: the factor, the verdict on a check, and the file that is written."""

import json
import math
from pathlib import Path

import pytest

from autograder.quality import calibrate as calibration
from autograder.quality.calibrate import CalibrationError, Measured, calibrate, judge_check, tolerance_factor


def runs(reference: list[float], baseline: float, limit: float, **more: str) -> list[Measured]:
    """Runs of one check that differ in the reference's value only."""
    common = {"baseline": baseline, "limit": limit, "direction": "at_least", **more}
    return [Measured(reference=value, **common) for value in reference]  # type: ignore[typeddict-item]


SPREAD = [10.0, 10.1, 9.9, 10.2, 9.8, 10.0, 10.1, 9.9, 10.05, 9.95]


@pytest.mark.parametrize(("n", "expected"), [(10, 5.20), (30, 4.02)])
def test_factor_matches_the_published_tables(n: int, expected: float) -> None:
    """Is k the one of tables for 99.9% content and 95% confidence?"""
    assert tolerance_factor(n) == pytest.approx(expected, abs=0.005)


def test_more_confidence_needs_a_wider_bound() -> None:
    """Does k grow with confidence and shrink with seeds?"""
    assert tolerance_factor(10, confidence=0.99) > tolerance_factor(10) > tolerance_factor(20)


def test_a_clear_gain_is_graded() -> None:
    """Is a limit between both bounds fit for grading?"""
    entry = judge_check(runs(SPREAD, baseline=2.0, limit=8.0))
    assert entry["graded"] is True
    assert entry["baseline_bound"] == 2.0
    assert 8.0 < float(str(entry["reference_bound"])) < 10.0


@pytest.mark.parametrize(("baseline", "limit"), [(2.0, 9.9), (9.0, 8.5), (8.5, 8.5)])
def test_a_limit_on_the_wrong_side_is_only_reported(baseline: float, limit: float) -> None:
    """Is a check reported when correct work might miss it or the baseline reach it?"""
    assert judge_check(runs(SPREAD, baseline=baseline, limit=limit))["graded"] is False


def test_an_upper_limit_turns_both_bounds_around() -> None:
    """Is an error judged from above?"""
    entry = judge_check(runs(SPREAD, baseline=20.0, limit=12.0, direction="at_most"))
    assert entry["graded"] is True
    assert float(str(entry["reference_bound"])) > 10.0


def test_a_log_scale_never_gives_a_negative_ratio() -> None:
    """Is the bound of a ratio positive however wide the spread?"""
    entry = judge_check(runs([0.1, 0.5, 2.0, 0.2, 0.9, 1.1, 0.3, 0.7, 0.6, 0.4], 0.001, 0.01, scale="log"))
    assert float(str(entry["reference_bound"])) > 0


def test_equal_values_have_no_normality_statistic() -> None:
    """Is a deterministic check handled without a warning?"""
    assert judge_check(runs([3.0] * 10, 1.0, 2.0))["normality"] is None


@pytest.mark.parametrize("wrong", [{"direction": "up"}, {"scale": "square"}])
def test_unknown_words_are_refused(wrong: dict[str, str]) -> None:
    """Is a misspelt direction or scale an error?"""
    with pytest.raises(CalibrationError):
        judge_check(runs(SPREAD, 1.0, 2.0, **wrong))


def test_the_limit_may_not_depend_on_the_seed() -> None:
    """Is a moving limit an error?"""
    moving = runs(SPREAD, 1.0, 2.0)
    moving[3]["limit"] = 2.5
    with pytest.raises(CalibrationError, match="seed"):
        judge_check(moving)


def test_the_file_holds_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are raw values, limit and bounds written, and the plot beside them?"""
    (tmp_path / "source" / "Lab").mkdir(parents=True)
    one = {
        "gain": lambda seed: Measured(reference=SPREAD[seed], baseline=1.0, limit=5.0, direction="at_least")
    }
    monkeypatch.setattr(
        calibration,
        "measurements",
        lambda: {"Lab": lambda seed: {key: make(seed) for key, make in one.items()}},
    )
    calibrate("Lab", 10, root=tmp_path)
    written = json.loads((tmp_path / "source" / "Lab" / "calibration.json").read_text())
    assert written["checks"]["gain"]["reference"] == SPREAD
    assert math.isclose(written["factor"], 5.2033, abs_tol=1e-4)
    assert (tmp_path / "build" / "calibration" / "Lab" / "gain.png").stat().st_size > 0


def test_few_seeds_and_unknown_labs_are_refused(tmp_path: Path) -> None:
    """Are nine seeds and a lab without measurements errors?"""
    with pytest.raises(CalibrationError, match="too few"):
        calibrate("Lab-3.1-Post_Training_Quantization", 9, root=tmp_path)
    with pytest.raises(CalibrationError, match="no measurement"):
        calibrate("Lab-9.9", 10, root=tmp_path)
