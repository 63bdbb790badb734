"""Inputs for hidden tests of group-wise quantization, whose only right codes are known beforehand."""

import torch
from torch import Tensor


def grouped_weight(
    rows: int, groups: int, width: int, generator: torch.Generator, *, bits: int = 4
) -> tuple[Tensor, dict[str, Tensor]]:
    """A weight (rows, groups * width) and the parts that `quantize_groupwise` must return for it.

    Each group holds both ends of its grid, -zero * scale and (2^bits - 1 - zero) * scale, with a scale
    that float16 holds exactly. So scale and zero-point are exact, and every other value lies at most 0.4 of
    a step from its grid point: no implementation can round it elsewhere.
    """
    highest = 2**bits - 1
    scale = (0.01 + torch.rand(rows, groups, generator=generator)).half()
    zero = torch.randint(1, highest, (rows, groups), generator=generator)
    q = torch.randint(0, highest + 1, (rows, groups, width), generator=generator)
    offset = 0.8 * torch.rand(rows, groups, width, generator=generator) - 0.4
    for code in (0, highest):  # an end of the grid has no room for an offset beyond it
        offset = torch.where(q == code, torch.zeros_like(offset), offset)
    ends = torch.rand(rows, groups, width, generator=generator).argsort(-1)[..., :2]
    q.scatter_(-1, ends, torch.tensor([0, highest]).expand(rows, groups, 2))
    offset.scatter_(-1, ends, 0.0)
    weight = (q - zero[..., None] + offset) * scale.float()[..., None]
    parts = {"q": q.reshape(rows, -1).to(torch.uint8), "scale": scale, "zero": zero.to(torch.uint8)}
    return weight.reshape(rows, -1), parts


def correlated_layer(
    width: int, rows: int, generator: torch.Generator, *, outputs: int | None = None
) -> tuple[Tensor, Tensor]:
    """A weight (outputs, width) and inputs (rows, width) whose channels move together, as activations do."""
    mix = torch.randn(width, width, generator=generator) / width**0.5
    common = torch.randn(rows, 8, generator=generator) @ torch.randn(8, width, generator=generator)
    inputs = torch.randn(rows, width, generator=generator) @ mix + 0.7 * common
    return torch.randn(outputs or width, width, generator=generator) / width**0.5, inputs
