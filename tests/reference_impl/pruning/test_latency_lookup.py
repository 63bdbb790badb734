"""The table is exact on a device whose time is additive, and sums are sums."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.pruning.latency_lookup import latency_table, predict_latency


class Device:
    """A machine that is slow at first, needs `fixed` plus a sum over layers, and stalls now and then."""

    def __init__(self, fixed: float, costs: dict[str, float], stalls: set[int]) -> None:
        self.fixed, self.costs, self.stalls = fixed, costs, stalls
        self.now, self.readings = 5.0, 0
        self.runs: list[list[str]] = []

    def clock(self) -> float:
        self.readings += 1
        return self.now

    def run(self, layers: list[str]) -> None:
        self.now += self.fixed + sum(self.costs[kind] for kind in layers)
        self.now += 3.0 * (len(self.runs) < 2 * len(self.costs)) + 7.0 * (len(self.runs) in self.stalls)
        self.runs.append(layers)


@given(
    fixed=st.floats(0, 1),
    costs=st.lists(st.floats(0.001, 2), min_size=1, max_size=5),
    stall=st.integers(0, 200),
)
@settings(max_examples=40, deadline=None)
def test_an_additive_device_is_recovered(fixed: float, costs: list[float], stall: int) -> None:
    named = {f"kind {number}": value for number, value in enumerate(costs)}
    device = Device(fixed, named, {stall})
    table = latency_table(device.run, list(named), clock=device.clock, warm_up=1, repeats=5)
    assert table["fixed"] == pytest.approx(1000 * fixed, abs=1e-6)
    assert table["layers"] == pytest.approx({kind: 1000 * value for kind, value in named.items()}, abs=1e-6)
    assert device.readings == 2 * 2 * 5 * len(costs) and len(device.runs) == 2 * 6 * len(costs)
    first = [[kind] * depth for kind in named for depth in (1, 2)]
    assert device.runs == first * 6


@given(
    layers=st.lists(st.sampled_from(["a", "b"]), max_size=6),
    more=st.lists(st.sampled_from(["a", "b"]), max_size=6),
)
def test_predictions_add_up(layers: list[str], more: list[str]) -> None:
    table = {"fixed": 2.0, "layers": {"a": 0.5, "b": 1.25}}
    both = predict_latency(table, layers + more)
    assert both == pytest.approx(predict_latency(table, layers) + predict_latency(table, more) - 2.0)
    assert both == predict_latency(table, more + layers)


def test_what_can_not_be_measured_or_predicted_is_an_error() -> None:
    device = Device(0.0, {"a": 1.0}, set())
    with pytest.raises(ValueError, match="at least one round"):
        latency_table(device.run, ["a"], clock=device.clock, repeats=0)
    with pytest.raises(ValueError, match="the table has no b"):
        predict_latency({"fixed": 1.0, "layers": {"a": 1.0}}, ["a", "b"])
