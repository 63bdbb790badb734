"""One measured check under one seed, as `course calibrate` reads it."""

from typing import Any

Measured = dict[str, dict[str, Any]]


def entry(
    reference: float, baseline: float, limit: float, direction: str = "at_least", **more: str
) -> dict[str, Any]:
    """One check: what the reference measures, what the naive baseline measures, and the limit in use.

    `direction` is "at_least" or "at_most"; `more` may hold `unit`, and `scale` ("linear" or "log").
    """
    return {"reference": reference, "baseline": baseline, "limit": limit, "direction": direction, **more}


def mean(values: list[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)
