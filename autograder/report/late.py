"""What lateness costs, in one pass over all labs: a student's grace days go where they help that student most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from autograder.course import LatePolicy

DAY = timedelta(days=1)


@dataclass(frozen=True)
class LabResult:
    """One lab of one student: what it earned, how many days late, how many of them are forgiven, what it counts."""

    lab: str
    earned: float
    days_late: int
    forgiven: int = 0
    counts: float = 0.0


def days_late(received: datetime, due: datetime, zone: tzinfo) -> int:
    """Days begun after the deadline; both times are aware.

    A day ends at the hour of the deadline in the course's time zone `zone`, also where the clocks change in between.
    """
    if received <= due:
        return 0
    here, there = (time.astimezone(zone).replace(tzinfo=None) for time in (received, due))
    return max(1, math.ceil((here - there) / DAY))


def worth(earned: float, days: int, policy: LatePolicy) -> float:
    """What is left of a score after some days of lateness that nothing forgives."""
    return earned * max(0.0, 1.0 - policy.lost_per_day * days)


def with_grace(results: Sequence[LabResult], policy: LatePolicy) -> list[LabResult]:
    """The results in their order, with the grace days spent so that the sum of what counts is as large as can be.

    Of several ways that come to the same, the one that spends fewest days is taken, and then the one
    that spends them on earlier labs.
    """
    # best[n]: the largest sum of the labs so far with n days in hand, and the days of each lab
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())] * (policy.grace_days + 1)
    for result in results:
        best = [
            max(
                (
                    (
                        round(total + worth(result.earned, result.days_late - days, policy), 9),
                        (*spent, days),
                    )
                    for days in range(min(in_hand, result.days_late) + 1)
                    for total, spent in [best[in_hand - days]]
                ),
                key=lambda choice: (choice[0], -sum(choice[1]), choice[1]),
            )
            for in_hand in range(policy.grace_days + 1)
        ]
    _, spent = best[policy.grace_days]
    return [
        replace(result, forgiven=days, counts=worth(result.earned, result.days_late - days, policy))
        for result, days in zip(results, spent, strict=True)
    ]
