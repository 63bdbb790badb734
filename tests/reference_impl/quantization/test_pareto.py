"""The latency table, the ladder, the front and the choice."""

import itertools
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.latency_table import latency_table, predict_latency
from reference_impl.quantization.pareto import pareto_front, precision_ladder, smallest_within


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.integers(0, 4))
def test_table_is_the_median_after_warm_up(milliseconds: list[int], warm_up: int) -> None:
    """On a clock that only the calls move, is it the median of the timed rounds, in turns?"""
    now, log = [5.0], []

    def make(name: str, factor: int) -> Callable[[], None]:
        durations = iter([7000] * warm_up + milliseconds)

        def call() -> None:
            log.append(name)
            now[0] += factor * next(durations) / 1000

        return call

    calls = {"square": {"a": make("a", 1), "b": make("b", 2)}}
    table = latency_table(calls, clock=lambda: now[0], warm_up=warm_up, repeats=len(milliseconds))
    assert table["square"]["a"] == pytest.approx(statistics.median(milliseconds))
    assert table["square"]["b"] == pytest.approx(2 * statistics.median(milliseconds))
    assert log == ["a", "b"] * (warm_up + len(milliseconds))


def test_no_rounds_are_refused() -> None:
    """Is a median of nothing an error?"""
    with pytest.raises(ValueError, match="at least one"):
        latency_table({}, clock=lambda: 0.0, repeats=0)


def test_prediction_adds_up() -> None:
    """Is it the sum over layers by name, and a missing entry an error?"""
    table = {"square": {"int8": 2.0}, "wide": {"int8": 5.0}}
    kinds = {"a": "square", "b": "square", "c": "wide"}
    assert predict_latency(table, kinds, dict.fromkeys("cba", "int8"), 1.0) == pytest.approx(10.0)
    for wrong in ({"a": "int8"}, dict.fromkeys("abc", "int4"), dict.fromkeys("abcd", "int8")):
        with pytest.raises(ValueError, match=r"differ|has no"):
            predict_latency(table, kinds, wrong)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), min_size=1, max_size=10))
def test_ladder_goes_up_by_gain_a_byte(pairs: list[tuple[int, int]]) -> None:
    """Does each rung raise the layer whose gain a byte is largest among those left?"""
    costs = {f"l{i}": [float(fall), 0.0] for i, (fall, _) in enumerate(pairs)}
    sizes = {f"l{i}": [10, 10 + rise] for i, (_, rise) in enumerate(pairs)}
    ladder = precision_ladder(costs, sizes, 4, 8)
    assert len(ladder) == len(pairs) + 1
    assert set(ladder[0].values()) == {4} and set(ladder[-1].values()) == {8}
    gains = []
    for below, above in itertools.pairwise(ladder):
        (raised,) = [name for name in costs if below[name] != above[name]]
        gains.append(costs[raised][0] / (sizes[raised][1] - sizes[raised][0]))
    assert gains == sorted(gains, reverse=True)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, 4).map(float), min_size=n, max_size=n), min_size=0, max_size=20
        )
    )
)
def test_front_is_what_nothing_dominates(values: list[list[float]]) -> None:
    """Is it exactly the set of points that no other beats, one of each?"""
    points = {f"p{i}": value for i, value in enumerate(values)}

    def beaten(mine: list[float]) -> bool:
        return any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in values
        )

    expected: dict[tuple[float, ...], str] = {}
    for name, value in points.items():
        if not beaten(value):
            expected.setdefault(tuple(value), name)
    assert pareto_front(points) == [expected[key] for key in sorted(expected)]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(10, 20)), min_size=1, max_size=8), st.floats(0.0, 1.0)
)
def test_choice_is_the_smallest_that_will_do(pairs: list[tuple[int, int]], tolerance: float) -> None:
    """Is nothing smaller within the tolerance, and no answer given where there is none?"""
    points = {f"m{i}": [float(size), float(loss)] for i, (size, loss) in enumerate(pairs)}
    allowed = [value for value in points.values() if value[1] <= 12 * (1 + tolerance)]
    if allowed:
        assert points[smallest_within(points, 12.0, tolerance)] == min(allowed)
    else:
        with pytest.raises(ValueError, match="no model"):
            smallest_within(points, 12.0, tolerance)
