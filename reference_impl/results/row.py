"""One row of the results page, and what the status report that the course grew from promised."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from labkit.evaluation.quality import Predict
from torch import Tensor, nn

from labkit import evaluation
from reference_impl.measured import mean
from reference_impl.pruning.speedup import paired_speedup

BLOCKS, CALLS = 5, 15
"""A speed-up is the median over five blocks of the median over fifteen pairs of calls."""


@dataclass(frozen=True)
class Promise:
    """A row of the promised table: smallest and largest ratios, and the least share of quality."""

    ratio: tuple[float, float]
    speed: tuple[float, float]
    kept: float


PROMISED = {
    "INT8 quantization": Promise((4, 4), (2, 4), 0.98),
    "INT4 quantization": Promise((8, 8), (3, 6), 0.95),
    "structured pruning": Promise((2, 4), (1.5, 3), 0.95),
    "distillation": Promise((3, 10), (3, 10), 0.95),
}


@dataclass(frozen=True)
class Spread:
    """A measured value: its mean or median, the smallest and the largest."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """The mean of several values with their range."""
        return cls(mean(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """One technique on one model.

    `kept` is a share of `measure`, with the range that `over` names; `speed` is None where no faster kernel exists
    for what the row stores, and `note` says what stands in the way of a promise.
    """

    technique: str
    model: str
    measure: str
    ratio: float
    speed: Spread | None
    kept: Spread
    over: str
    note: str = ""


def thirds(rows: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The rows in three parts of equal size, in order; one or two rows may be left over."""
    size = len(next(iter(rows.values()))) // 3
    return [{key: value[part * size : (part + 1) * size] for key, value in rows.items()} for part in range(3)]


def shares(before: nn.Module | Predict, after: nn.Module | Predict, rows: dict[str, Tensor]) -> Spread:
    """Quality kept on all rows, with the range over their thirds."""

    def share(part: dict[str, Tensor]) -> float:
        metric, base = evaluation.quality(before, part)
        return evaluation.recovery(metric, evaluation.quality(after, part)[1], base)

    each = [share(part) for part in thirds(rows)]
    return Spread(share(rows), min(each), max(each))


def faster(before: Callable[[], object], after: Callable[[], object]) -> Spread:
    """How many times faster the second call is, on one thread, in blocks that alternate between the two."""
    torch.set_num_threads(1)
    with torch.no_grad():
        blocks = [paired_speedup(before, after, repeats=CALLS)["speedup"] for _ in range(BLOCKS)]
    return Spread(sorted(blocks)[BLOCKS // 2], min(blocks), max(blocks))


def weight_only_ratio(network: nn.Module, group: int) -> float:
    """Times smaller than float32: linear layers at 4 bits, 20 bits a group for scale and zero, the rest float16."""
    linear = sum(
        layer.weight.numel()
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name != "lm_head"
    )
    total = evaluation.parameter_count(network)
    return 4 * total / (linear * (4 + 20 / group) / 8 + 2 * (total - linear))
