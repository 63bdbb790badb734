"""Where the limit of a measured check comes from.

A measured check compares a random quantity with a limit. The limit is safe when a correct solution
almost never falls short of it and the naive baseline almost never reaches it. Both are read off a
one-sided normal tolerance bound: with n seeds, mean m and standard deviation s, at least 99.9% of
the runs of a correct solution lie above m - k s, with 95% confidence, where k comes from the
noncentral t distribution (5.20 at n = 10, 4.02 at n = 30).

`calibrate` runs a lab's measurement for several seeds and writes `source/<lab>/calibration.json`:
raw values, bounds, the limit in use, a normality statistic, and whether the check may be graded.
Normal probability plots go to `build/calibration/<lab>/`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import pkgutil
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy
from scipy import stats

from autograder.errors import QualityError

CONTENT = 0.999
CONFIDENCE = 0.95
FEWEST_SEEDS = 10

ROOT = Path(__file__).resolve().parents[2]


class Measured(TypedDict, total=False):
    """One measured check under one seed. `scale` is "linear" (default) or "log"."""

    reference: float
    baseline: float
    limit: float
    direction: str
    unit: str
    scale: str


Measurement = Callable[[int], dict[str, Measured]]


class CalibrationError(QualityError):
    """A measurement cannot be calibrated: unknown lab, too few seeds, or values that do not fit."""


def tolerance_factor(n: int, content: float = CONTENT, confidence: float = CONFIDENCE) -> float:
    """The k of the one-sided normal tolerance bound m - k s for n values."""
    shift = stats.norm.ppf(content) * math.sqrt(n)
    return float(stats.nct.ppf(confidence, df=n - 1, nc=shift) / math.sqrt(n))


def measurements() -> dict[str, Measurement]:
    """Every lab's measurement: the `MEASUREMENTS` of each `reference_impl.<track>.calibration`."""
    import reference_impl

    found: dict[str, Measurement] = {}
    for track in pkgutil.iter_modules(reference_impl.__path__):
        if track.ispkg and importlib.util.find_spec(f"reference_impl.{track.name}.calibration"):
            found.update(importlib.import_module(f"reference_impl.{track.name}.calibration").MEASUREMENTS)
    return found


def judge_check(runs: Sequence[Measured]) -> dict[str, object]:
    """Turn one check's runs into its entry in calibration.json.

    The check is graded when the limit lies on the passing side of the reference's bound and on the
    failing side of the baseline's.
    """
    first = runs[0]
    direction, scale = first["direction"], first.get("scale", "linear")
    if direction not in ("at_least", "at_most") or scale not in ("linear", "log"):
        raise CalibrationError(f"unknown direction {direction!r} or scale {scale!r}")
    if any(
        (r["direction"], r.get("scale", "linear"), r["limit"]) != (direction, scale, first["limit"])
        for r in runs
    ):
        raise CalibrationError("limit, direction and scale must not depend on the seed")
    sign = 1.0 if direction == "at_least" else -1.0
    reference = [run["reference"] for run in runs]
    baseline = [run["baseline"] for run in runs]
    reference_bound = _bound(reference, scale, -sign)
    baseline_bound = _bound(baseline, scale, sign)
    limit = first["limit"]
    return {
        "direction": direction,
        "unit": first.get("unit", ""),
        "scale": scale,
        "limit": limit,
        "reference_bound": reference_bound,
        "baseline_bound": baseline_bound,
        "graded": sign * (reference_bound - limit) >= 0 and sign * (limit - baseline_bound) > 0,
        "normality": _normality(reference, scale),
        "reference": reference,
        "baseline": baseline,
    }


def calibrate(lab: str, seeds: int, *, root: Path = ROOT) -> dict[str, object]:
    """Run a lab's measurement for seeds 0 .. seeds-1 and write its calibration.json.

    Returns what was written. Raises CalibrationError for fewer than 10 seeds or a lab without
    measured checks.
    """
    if seeds < FEWEST_SEEDS:
        raise CalibrationError(
            f"{seeds} seeds are too few to say anything about 99.9%: use {FEWEST_SEEDS} or more"
        )
    measure = measurements().get(lab)
    if measure is None:
        raise CalibrationError(f"no measurement is registered for {lab}")
    runs = [measure(seed) for seed in range(seeds)]
    labels = list(runs[0])
    if any(list(run) != labels for run in runs):
        raise CalibrationError("the set of checks must not depend on the seed")
    report: dict[str, object] = {
        "lab": lab,
        "seeds": seeds,
        "content": CONTENT,
        "confidence": CONFIDENCE,
        "factor": tolerance_factor(seeds),
        "checks": {label: judge_check([run[label] for run in runs]) for label in labels},
    }
    target = root / "source" / lab / "calibration.json"
    target.write_text(json.dumps(_rounded(report), indent=1) + "\n")
    for label in labels:
        scale = runs[0][label].get("scale", "linear")
        values = _on_scale([run[label]["reference"] for run in runs], scale)
        name = label if scale == "linear" else f"log of {label}"
        _plot_normality(values, name, root / "build" / "calibration" / lab)
    return report


def _on_scale(values: Sequence[float], scale: str) -> list[float]:
    if scale == "log" and min(values) <= 0:
        raise CalibrationError("a value on a log scale must be positive")
    return [math.log(value) for value in values] if scale == "log" else list(values)


def _bound(values: Sequence[float], scale: str, side: float) -> float:
    """m + side * k s on the check's scale, returned in the check's own unit."""
    on_scale = _on_scale(values, scale)
    spread = float(numpy.std(on_scale, ddof=1))
    bound = float(numpy.mean(on_scale)) + side * tolerance_factor(len(values)) * spread
    return math.exp(bound) if scale == "log" else bound


def _normality(values: Sequence[float], scale: str) -> dict[str, float] | None:
    """Shapiro and Wilk's W and its p-value; None when every value is the same."""
    on_scale = _on_scale(values, scale)
    if max(on_scale) - min(on_scale) <= 1e-12 * max(1.0, abs(max(on_scale))):
        return None
    result = stats.shapiro(on_scale)
    return {"shapiro_w": float(result.statistic), "p_value": float(result.pvalue)}


def _rounded(value: object) -> object:
    """Six significant digits, so that a rerun on another machine gives a readable diff."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _plot_normality(values: Sequence[float], label: str, folder: Path) -> None:
    """Write a normal probability plot of the reference's values."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    (quantiles, ordered), (slope, intercept, _) = stats.probplot(values)
    axes.plot(quantiles, ordered, "o", color="0.3")
    axes.plot(quantiles, slope * quantiles + intercept, color="0.6")
    axes.set(xlabel="normal quantile", ylabel=label, title=f"{len(values)} seeds")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{re.sub(r'[^a-z0-9]+', '-', label.lower())}.png", dpi=110)
