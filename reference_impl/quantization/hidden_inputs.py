"""Inputs for hidden tests: random, but away from rounding ties and from the edges of a grid.

At a tie two correct solutions may differ by one code because of the last bit of a division, so a
test that lands on one would fail good work.
"""

import math

import torch
from torch import Tensor


def matrix_off_ties(rows: int, columns: int, generator: torch.Generator, *, bits: int = 8) -> Tensor:
    """A float32 (rows, columns) matrix whose asymmetric zero-points are clear of ties.

    Rows differ in size by a factor of up to 30 and are shifted to one side, as activations are.
    Both the grid of each row and the grid of the whole matrix have -low / scale at least 0.1 away
    from a half.
    """
    while True:
        sizes = 10 ** (1.5 * torch.rand(rows, 1, generator=generator) - 1)
        x = sizes * (torch.randn(rows, columns, generator=generator) + 0.4)
        low = torch.cat([x.amin(1), x.amin().reshape(1)]).clamp(max=0)
        high = torch.cat([x.amax(1), x.amax().reshape(1)]).clamp(min=0)
        position = -low * (2**bits - 1) / (high - low)
        if ((position - position.floor() - 0.5).abs() > 0.1).all():
            return x


def values_off_ties(codes: Tensor, scale: Tensor, zero_point: Tensor, generator: torch.Generator) -> Tensor:
    """Float values that quantize to `codes`, each up to 0.4 of a step away from its grid point.

    `scale` and `zero_point` broadcast against `codes`.
    """
    offset = 0.8 * torch.rand(codes.shape, generator=generator) - 0.4
    return (codes - zero_point + offset) * scale


def kl_by_hand(hist: list[int], kept: int, levels: int, eps: float) -> float:
    """KL(P, Q) of one candidate of `kl_threshold`, written out with loops: an independent oracle."""
    p = [float(count) for count in hist[:kept]]
    p[-1] += sum(hist[kept:])
    groups: dict[int, list[int]] = {}
    for j in range(kept):
        groups.setdefault(j * levels // kept, []).append(j)
    q = [0.0] * kept
    for members in groups.values():
        occupied = [j for j in members if hist[j] > 0]
        for j in occupied:
            q[j] = sum(hist[j] for j in members) / len(occupied)

    def smooth(values: list[float]) -> list[float]:
        total = sum(values) or 1.0
        shifted = [value / total + eps for value in values]
        return [value / sum(shifted) for value in shifted]

    return sum(a * math.log(a / b) for a, b in zip(smooth(p), smooth(q), strict=True))


def histogram_with_clear_minimum(
    bins: int, levels: int, eps: float, generator: torch.Generator, *, empty_edge: bool = False
) -> tuple[Tensor, int]:
    """A histogram with empty bins and a tail, and the only number of bins that can be right.

    The runner-up's divergence is at least 0.1% larger, so that the last bits of a sum do not decide.
    With `empty_edge` the last bin kept is empty while values lie beyond it: there Q is 0 and P is
    not, so that the answer depends on smoothing.
    """
    while True:
        x = torch.randn(4000, generator=generator).abs()
        outliers = 3 + 5 * torch.rand(12, generator=generator)
        values = torch.cat([x, outliers])
        hist = torch.histc(values, bins, 0.0, float(values.max()))
        hist[torch.randperm(bins // 2, generator=generator)[: bins // 10]] = 0
        counts = [int(count) for count in hist]
        divergences = sorted((kl_by_hand(counts, i, levels, eps), i) for i in range(levels, bins + 1))
        kept = divergences[0][1]
        edge_is_empty = counts[kept - 1] == 0 and sum(counts[kept:]) > 0
        if divergences[1][0] > 1.001 * divergences[0][0] and edge_is_empty >= empty_edge:
            return hist, kept
