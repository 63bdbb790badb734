"""Two 4-bit codes in one byte, and a linear layer that stores its weight so."""

import math

import torch
from torch import Tensor, nn

from reference_impl.quantization.groupwise import dequantize_groupwise, quantize_groupwise


def pack_int4(codes: Tensor) -> Tensor:
    """Put two codes into each byte.

    Args:
        codes: integers 0 .. 15 of any shape and any integer dtype; a value outside raises `ValueError`.

    Returns:
        uint8, one dimension, ceil(n / 2) bytes for n codes in row-major order: byte i holds code 2i in
        its low four bits and code 2i + 1 in its high four bits. With an odd n the last high bits are 0.
    """
    ### BEGIN SOLUTION
    if codes.numel() and (codes.min() < 0 or codes.max() > 15):
        raise ValueError("a 4-bit code lies between 0 and 15")
    flat = codes.flatten().to(torch.uint8)
    if len(flat) % 2:
        flat = torch.cat([flat, flat.new_zeros(1)])
    return flat[0::2] | (flat[1::2] << 4)
    ### END SOLUTION


def unpack_int4(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo `pack_int4`.

    Args:
        packed: (bytes,) uint8.
        shape: of the codes, n in all; `packed` has ceil(n / 2) bytes, else `ValueError`.

    Returns:
        uint8 codes of that shape.
    """
    ### BEGIN SOLUTION
    count = math.prod(shape)
    if len(packed) != (count + 1) // 2:
        raise ValueError(f"{len(packed)} bytes can not hold {count} codes")
    return torch.stack([packed & 15, packed >> 4], dim=1).flatten()[:count].reshape(shape)
    ### END SOLUTION


class WeightOnlyLinear(nn.Module):
    """A linear layer whose weight is stored in 4 bits and computed with in float32.

    Buffers: `packed` (out * in / 2,) uint8 codes and `zeros` (out * groups / 2,) uint8 zero-points, both as
    `pack_int4` writes them (an odd count takes one half byte more); `scale` (out, groups) float16; `bias` (out,)
    float16, or None.
    There are no parameters, so `state_dict()` is the file.
    """

    packed: Tensor
    zeros: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, *, group_size: int = 128) -> None:
        """Quantize `layer`, which is left as it was, to 4 bits in groups of `group_size` inputs."""
        super().__init__()
        ### BEGIN SOLUTION
        parts = quantize_groupwise(layer.weight.detach(), bits=4, group_size=group_size)
        self.shape = tuple(layer.weight.shape)
        self.register_buffer("packed", pack_int4(parts["q"]))
        self.register_buffer("zeros", pack_int4(parts["zero"]))
        self.register_buffer("scale", parts["scale"])
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().half())
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) float32 to (..., out) float32 with the weight restored for this call alone."""
        ### BEGIN SOLUTION
        codes = unpack_int4(self.packed, self.shape)
        zero = unpack_int4(self.zeros, tuple(self.scale.shape))
        weight = dequantize_groupwise(codes, self.scale, zero)
        return nn.functional.linear(x, weight, None if self.bias is None else self.bias.float())
        ### END SOLUTION
