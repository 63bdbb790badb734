"""What a model costs to run: multiply-accumulates and time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Time of one call, in milliseconds: the median, and the distance between the quartiles."""

    median: float
    spread: float


def macs(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Return the multiply-accumulates of one forward pass: every matrix product, those of attention too.

    Counted while the model runs, from the shapes of the products, so any module counts. Fused attention is
    run in its written-out form. A weight of zero is still multiplied: pruning without removing saves none.
    """
    mapping = {torch.ops.quantized.linear_dynamic: _dynamic_linear_flops}
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(**inputs)
    return int(counter.get_total_flops()) // 2


def latencies(
    calls: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latency]:
    """Time several callables in turns, so that a busy moment of the machine hits all of them alike.

    Each is called three times unmeasured, then ``repeats`` times.

    Args:
        calls: what to time.
        repeats: measured calls of each, at least 1.
        clock: seconds; tests inject their own.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; at least one call must be measured")
    for _ in range(WARM_UP):
        for call in calls.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = clock()
            call()
            times[name].append(1000 * (clock() - started))
    return {name: _summary(measured) for name, measured in times.items()}


def _summary(times: list[float]) -> Latency:
    if len(times) == 1:
        return Latency(times[0], 0.0)
    lower, median, upper = statistics.quantiles(times, n=4, method="inclusive")
    return Latency(median, upper - lower)


def _dynamic_linear_flops(x_shape: Any, packed: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Count torch.ao's dynamic linear layer, which torch's own counter does not know."""
    weight, _bias = torch.ops.quantized.linear_unpack(packed)
    rows = 1
    for size in x_shape[:-1]:
        rows *= size
    return int(2 * rows * weight.shape[0] * weight.shape[1])
