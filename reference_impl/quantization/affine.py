"""Uniform affine quantization: real numbers to small integers and back.

Conventions of the course: rounding is `torch.round` (ties to even); a symmetric grid is signed and
uses the codes -(2^(b-1)-1) .. 2^(b-1)-1; an asymmetric grid is unsigned and uses 0 .. 2^b-1.
"""

import torch
from torch import Tensor


def affine_qparams(
    x: Tensor, *, bits: int = 8, symmetric: bool = True, axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """Choose the scale and the zero-point of a uniform grid that covers `x`.

    Args:
        x: float tensor of any shape, every value finite, at least one value.
        bits: width of a code, 2 to 8. Anything else raises `ValueError`.
        symmetric: True for a signed grid with codes -q .. q, where q = 2^(bits-1) - 1;
            False for an unsigned grid with codes 0 .. q, where q = 2^bits - 1.
        axis: None gives one grid for the whole tensor. A number gives each index along that
            dimension its own grid: for a linear layer's weight (out_features, in_features),
            `axis=0` means one grid per output channel. Negative numbers count from the end.

    Returns:
        `(scale, zero_point)`, of shape () when `axis` is None and (x.shape[axis],) otherwise.
        `scale` is float32 and > 0. `zero_point` is int32: the code that stands for 0.0.

        Symmetric: scale = max|x| / q, zero_point = 0.
        Asymmetric: extend the range so that it contains 0, low = min(min x, 0) and
        high = max(max x, 0); then scale = (high - low) / q and zero_point = round(-low / scale).
        Where a grid's values are all zero (the scale would be 0), scale = 1 and zero_point = 0.

    Paper: Jacob et al. 2018 (arXiv 1712.05877), equation 1 and section 3;
    Krishnamoorthi 2018 (arXiv 1806.08342), sections 2.1 and 2.2.
    """
    ### BEGIN SOLUTION
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must lie between 2 and 8, got {bits}")
    groups = x.float().reshape(1, -1) if axis is None else x.float().movedim(axis, 0).flatten(1)
    if symmetric:
        scale = groups.abs().amax(dim=1) / (2 ** (bits - 1) - 1)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        zero_point = torch.zeros_like(scale)
    else:
        low = groups.amin(dim=1).clamp(max=0.0)
        high = groups.amax(dim=1).clamp(min=0.0)
        scale = (high - low) / (2**bits - 1)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        zero_point = torch.round(-low / scale)
    shape = () if axis is None else (x.shape[axis],)
    return scale.reshape(shape), zero_point.to(torch.int32).reshape(shape)
    ### END SOLUTION


def quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    *,
    bits: int = 8,
    symmetric: bool = True,
    axis: int | None = None,
) -> Tensor:
    """Replace every value of `x` by the code of the nearest grid point.

    Args:
        x: float tensor of any shape. Values outside the grid are allowed.
        scale, zero_point: as `affine_qparams` returns them: shape () when `axis` is None,
            otherwise (x.shape[axis],), one grid for each index along `axis`.
        bits: width of a code, 2 to 8.
        symmetric: which codes exist, see `affine_qparams`.
        axis: the dimension of `x` that `scale` and `zero_point` run along, or None.

    Returns:
        The codes, shape of `x`: int8 when symmetric, uint8 when asymmetric.
        code = clamp(round(x / scale) + zero_point, lowest code, highest code):
        round first (`torch.round`, ties to even), then add the zero-point, then clamp, then cast.

    Paper: Jacob et al. 2018 (arXiv 1712.05877), equation 12.
    """
    ### BEGIN SOLUTION
    shape = [1] * x.dim()
    if axis is not None:
        shape[axis] = -1
    highest = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    lowest = -highest if symmetric else 0
    codes = torch.round(x / scale.reshape(shape)) + zero_point.reshape(shape)
    return codes.clamp(lowest, highest).to(torch.int8 if symmetric else torch.uint8)
    ### END SOLUTION


def dequantize(codes: Tensor, scale: Tensor, zero_point: Tensor, *, axis: int | None = None) -> Tensor:
    """Return the real numbers that the codes stand for.

    Args:
        codes: int8 or uint8 tensor of any shape. Its dtype cannot hold code - zero_point
            (an uint8 wraps around below 0), so change the dtype before subtracting.
        scale, zero_point: shape () when `axis` is None, otherwise (codes.shape[axis],).
        axis: the dimension of `codes` that `scale` and `zero_point` run along, or None.

    Returns:
        scale * (code - zero_point), float32, shape of `codes`.

    Paper: Jacob et al. 2018 (arXiv 1712.05877), equation 1.
    """
    ### BEGIN SOLUTION
    shape = [1] * codes.dim()
    if axis is not None:
        shape[axis] = -1
    steps = codes.to(torch.float32) - zero_point.to(torch.float32).reshape(shape)
    return scale.reshape(shape) * steps
    ### END SOLUTION
