"""Grace days: spent to the student's best advantage, compared with trying every way to spend them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.course import LatePolicy
from autograder.report.late import LabResult, days_late, with_grace, worth

POLICIES = st.builds(
    LatePolicy, grace_days=st.integers(0, 6), lost_per_day=st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 1.0])
)
RESULTS = st.lists(
    st.builds(LabResult, st.just("lab"), st.integers(0, 200).map(lambda half: half / 2), st.integers(0, 8)),
    max_size=5,
)


def every_way(results: list[LabResult], policy: LatePolicy) -> float:
    """The largest sum over all ways to spend the days."""
    ways = itertools.product(*(range(result.days_late + 1) for result in results))
    return max(
        sum(
            worth(result.earned, result.days_late - days, policy)
            for result, days in zip(results, way, strict=True)
        )
        for way in ways
        if sum(way) <= policy.grace_days
    )


@given(RESULTS, POLICIES)
def test_no_other_way_to_spend_the_days_counts_more(results: list[LabResult], policy: LatePolicy) -> None:
    final = with_grace(results, policy)
    assert sum(one.forgiven for one in final) <= policy.grace_days
    assert all(0 <= one.forgiven <= one.days_late for one in final)
    assert sum(one.counts for one in final) == pytest.approx(every_way(results, policy))
    for before, after in zip(results, final, strict=True):
        assert (after.lab, after.earned, after.days_late) == (before.lab, before.earned, before.days_late)
        assert 0 <= after.counts <= after.earned


@given(RESULTS, POLICIES)
def test_no_day_is_spent_that_changes_nothing(results: list[LabResult], policy: LatePolicy) -> None:
    final = with_grace(results, policy)
    for one in final:
        if one.forgiven:
            assert one.counts > worth(one.earned, one.days_late - one.forgiven + 1, policy)


@given(RESULTS, POLICIES)
def test_one_more_day_never_costs_anything(results: list[LabResult], policy: LatePolicy) -> None:
    more = LatePolicy(policy.grace_days + 1, policy.lost_per_day)
    sums = [sum(one.counts for one in with_grace(results, one_policy)) for one_policy in (policy, more)]
    assert sums[1] >= sums[0] - 1e-9


def test_the_days_go_to_the_lab_that_earned_most() -> None:
    policy = LatePolicy(grace_days=2, lost_per_day=0.1)
    final = with_grace([LabResult("a", 40, 2), LabResult("b", 90, 2), LabResult("c", 100, 0)], policy)
    assert [(one.forgiven, one.counts) for one in final] == [(0, 32), (2, 90), (0, 100)]


def test_equal_labs_take_the_earlier_first() -> None:
    final = with_grace([LabResult("a", 50, 1), LabResult("b", 50, 1)], LatePolicy(1, 0.1))
    assert [one.forgiven for one in final] == [1, 0]


def test_a_day_begun_is_a_day() -> None:
    due = datetime(2027, 3, 7, 15, 59, tzinfo=UTC)
    spans = {timedelta(0): 0, timedelta(seconds=-1): 0, timedelta(seconds=1): 1, timedelta(days=1): 1}
    spans |= {timedelta(days=1, microseconds=1): 2}
    assert {span: days_late(due + span, due, UTC) for span in spans} == spans


@pytest.mark.parametrize(("due", "later"), [("2026-10-18", "2026-10-25"), ("2027-03-21", "2027-03-28")])
def test_a_week_is_seven_days_also_where_the_clocks_change(due: str, later: str) -> None:
    """The lab closes seven days later at the same hour; whoever is in time for that is seven days late."""
    zone = ZoneInfo("Europe/Berlin")
    deadline = datetime.fromisoformat(f"{due}T23:59").replace(tzinfo=zone)
    closes = datetime.fromisoformat(f"{later}T23:59").replace(tzinfo=zone)
    assert days_late(closes.astimezone(UTC), deadline, zone) == 7
    assert days_late(closes.astimezone(UTC) + timedelta(seconds=1), deadline, zone) == 8


def test_late_in_the_hour_that_comes_twice_is_late() -> None:
    zone = ZoneInfo("Europe/Berlin")
    deadline = datetime(2026, 10, 25, 2, 50, tzinfo=zone)
    assert days_late(datetime(2026, 10, 25, 2, 10, tzinfo=zone, fold=1).astimezone(UTC), deadline, zone) == 1
