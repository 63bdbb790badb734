"""Inputs for the hidden tests of quantization-aware training: away from ties, clip edges and near misses."""

import torch
from torch import Tensor


def around_grid(
    shape: tuple[int, ...],
    scale: Tensor,
    zero_point: Tensor | int,
    qmin: int,
    qmax: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Float64 values inside and outside a grid: (x, codes, settled).

    Codes reach five steps beyond either edge and values lie up to 0.4 of a step off a code. `codes` are the
    unclipped ones. `settled` is False in the half step beyond an edge, where a value still rounds to the
    last code and definitions of the gradient differ.
    """
    codes = torch.randint(qmin - 5, qmax + 6, shape, generator=generator)
    offset = 0.8 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.4
    x = (codes - zero_point + offset) * scale
    settled = ~(((codes == qmax) & (offset > 0)) | ((codes == qmin) & (offset < 0)))
    return x, codes, settled


def weight_off_ties(rows: int, columns: int, bits: int, generator: torch.Generator) -> Tensor:
    """A float32 weight off ties on its own grids, in which some largest weight divides to more than the last code.

    In float32 max / (max / 7) is now and then 7.0000005, and so with 127; with 1 and 3 it never is. A solution that
    compares the quotient with 7 finds that weight clipped, though its scale was made to hold it.
    """
    q = 2 ** (bits - 1) - 1
    while True:
        sizes = 0.05 + torch.rand(rows, 1, generator=generator)
        weight = sizes * torch.randn(rows, columns, generator=generator)
        largest = weight.abs().amax(1, keepdim=True)
        ratio = weight / (largest / q)
        off_ties = ((ratio - ratio.floor() - 0.5).abs() > 1e-3).all()
        if off_ties and (q <= 3 or bool((largest / (largest / q) > q).any())):
            return weight


def descent_problem(generator: torch.Generator) -> dict[str, Tensor]:
    """A small regression for descent on latent weights whose path stays clear of ties and clip edges.

    Returns weight (4,), inputs (12, 4) and targets (12,), in float64. With scale 0.5, qmax 3, a learning rate
    of 0.05 and 25 steps no latent weight comes nearer than 1e-6 steps to a tie or into the half step
    beyond an edge, at least one is clipped on the way, and at least one code changes.
    """
    while True:
        inputs = torch.randn(12, 4, generator=generator, dtype=torch.float64)
        wanted = torch.tensor([0.3, -0.8, 2.6, 1.2], dtype=torch.float64)
        wanted = wanted + 0.2 * torch.randn(4, generator=generator, dtype=torch.float64)
        targets = inputs @ wanted
        weight = torch.randn(4, generator=generator, dtype=torch.float64)
        path = descent_by_hand(weight, inputs, targets, 0.5, 3, 0.05, 25) / 0.5
        near_tie = ((path - path.floor() - 0.5).abs() < 1e-6).any()
        open_question = ((path.abs() > 3) & (path.abs() < 3.5)).any()
        codes = path.round().clamp(-3, 3)
        if not near_tie and not open_question and (path.abs() > 3.5).any() and (codes[0] != codes[-1]).any():
            return {"weight": weight, "inputs": inputs, "targets": targets}


def descent_by_hand(
    weight: Tensor,
    inputs: Tensor,
    targets: Tensor,
    scale: float,
    qmax: int,
    learning_rate: float,
    steps: int,
) -> Tensor:
    """Latent weights of descent through a straight-through estimator, with the gradient written out."""
    path = [weight]
    for _ in range(steps):
        codes = torch.round(path[-1] / scale)
        residual = inputs @ (scale * codes.clamp(-qmax, qmax)) - targets
        gradient = 2 * (residual @ inputs) / len(targets) * (codes.abs() <= qmax)
        path.append(path[-1] - learning_rate * gradient)
    return torch.stack(path)


def clear_of_ties(x: Tensor, low: float, high: float, bits: int) -> bool:
    """Tell whether no value of `x`, and not the zero-point, is near a tie of the grid over [low, high] with 0."""
    levels = 2**bits - 1
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / levels
    positions = torch.cat([x.double().flatten() / scale, torch.tensor([-low / scale], dtype=torch.float64)])
    return bool(((positions - positions.floor() - 0.5).abs() > 2e-4).all())


def layer_batches(
    columns: int, bits: int, generator: torch.Generator, *, count: int = 3
) -> tuple[list[Tensor], list[tuple[float, float]]]:
    """Float32 batches (7, 2, columns) for a layer that observes, and the range after each of them.

    The first batch sets the range, the later ones move it by a tenth. Each batch is clear of ties on the range
    after it and on the last one.
    """
    while True:
        batches = [
            (0.5 + number) * torch.randn(7, 2, columns, generator=generator) + 0.3 for number in range(count)
        ]
        ranges = [(batches[0].min().item(), batches[0].max().item())]
        for batch in batches[1:]:
            low, high = ranges[-1]
            ranges.append((low + 0.1 * (batch.min().item() - low), high + 0.1 * (batch.max().item() - high)))
        if all(
            clear_of_ties(batch, *bounds, bits)
            for number, batch in enumerate(batches)
            for bounds in (ranges[number], ranges[-1])
        ):
            return batches, ranges


def around_steps(
    shape: tuple[int, ...], step: Tensor, qn: int, qp: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Float64 values for a learned step, (v, ratio): ratio = v / step reaches four codes beyond either end.

    No ratio is within 0.05 of a whole number, so none is at an end of the grid, or within 0.1 of a tie.
    """
    codes = torch.randint(-qn - 4, qp + 5, shape, generator=generator)
    offset = 0.05 + 0.35 * torch.rand(shape, generator=generator, dtype=torch.float64)
    sign = 2 * torch.randint(2, shape, generator=generator) - 1
    ratio = codes + sign * offset
    return ratio * step, ratio
