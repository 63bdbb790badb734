"""Group-wise quantization of weights: one grid for each run of neighbouring inputs of a row."""

import torch
from torch import Tensor


def quantize_groupwise(weight: Tensor, *, bits: int = 4, group_size: int = 128) -> dict[str, Tensor]:
    """Round a weight to the nearest point of an asymmetric grid that each group of inputs has of its own.

    Args:
        weight: (out, in) float32.
        bits: 2 to 8.
        group_size: neighbouring inputs of one row that share a grid; it divides `in`. -1 makes the
            whole row one group. Anything else raises `ValueError`.

    Returns:
        `q` (out, in) uint8, codes 0 .. 2^bits - 1;
        `scale` (out, groups) float16, > 0;
        `zero` (out, groups) uint8, the code that stands for 0.0.

        For each group: low = min(min w, 0), high = max(max w, 0), scale = (high - low) / (2^bits - 1).
        The scale is rounded to float16 before it is used, because that is what the file will hold;
        a scale that is 0 (also after that rounding) becomes 1. zero = round(-low / scale) and
        q = round(w / scale) + zero, both clamped to 0 .. 2^bits - 1 (`torch.round`, ties to even;
        divide in float32 by the rounded scale).

    Paper: Dettmers and Zettlemoyer 2022 (arXiv 2212.09720), section 2; Frantar et al. 2022
    (arXiv 2210.17323), section 5, "grouping".
    """
    ### BEGIN SOLUTION
    rows, columns = weight.shape
    width = columns if group_size == -1 else group_size
    if width < 1 or columns % width:
        raise ValueError(f"groups of {group_size} do not divide {columns} inputs")
    highest = 2**bits - 1
    groups = weight.reshape(rows, columns // width, width)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / highest).half()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    step = scale.float()
    zero = torch.round(-low / step).clamp(0, highest)
    q = (torch.round(groups / step[..., None]) + zero[..., None]).clamp(0, highest)
    return {"q": q.reshape(rows, columns).to(torch.uint8), "scale": scale, "zero": zero.to(torch.uint8)}
    ### END SOLUTION


def dequantize_groupwise(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Return the weight (out, in), float32, that the codes stand for: scale * (q - zero).

    Args:
        q: (out, in) uint8. Its dtype cannot hold q - zero.
        scale: (out, groups) float16; group g covers the inputs g * in / groups .. (g + 1) * in / groups - 1.
        zero: (out, groups) uint8.
    """
    ### BEGIN SOLUTION
    rows, columns = q.shape
    steps = q.reshape(rows, scale.shape[1], -1).float() - zero.float()[..., None]
    return (scale.float()[..., None] * steps).reshape(rows, columns)
    ### END SOLUTION
