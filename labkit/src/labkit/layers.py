"""Layers that run a quantized weight: containers for what a lab's own code worked out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StaticLinear(nn.Module):
    """A linear layer with an 8-bit weight and a fixed grid for its input.

    The layer stores integers and computes with the float32 values they stand for, which gives the
    same result as integer arithmetic up to float32 rounding.
    """

    weight_codes: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    input_zero_point: Tensor
    bias: Tensor | None

    def __init__(
        self,
        weight_codes: Tensor,
        weight_scale: Tensor,
        input_scale: float,
        input_zero_point: int,
        bias: Tensor | None = None,
        input_bits: int = 8,
    ) -> None:
        """Store the parts.

        Args:
            weight_codes: (out, in) int8 on a symmetric grid.
            weight_scale: (out,), one scale an output channel.
            input_scale, input_zero_point: the asymmetric grid of the input.
            bias: (out,) float32, or None.
            input_bits: width of the input's codes, which are 0 .. 2^input_bits - 1.

        Raises:
            TypeError: `weight_codes` is not int8.
        """
        super().__init__()
        if weight_codes.dtype != torch.int8:
            raise TypeError(f"weight_codes must be int8, not {weight_codes.dtype}")
        self.input_bits = input_bits
        self.register_buffer("weight_codes", weight_codes)
        self.register_buffer("weight_scale", weight_scale)
        self.register_buffer("input_scale", torch.tensor(float(input_scale)))
        self.register_buffer("input_zero_point", torch.tensor(int(input_zero_point), dtype=torch.int32))
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        on_grid = torch.fake_quantize_per_tensor_affine(
            x, float(self.input_scale), int(self.input_zero_point), 0, 2**self.input_bits - 1
        )
        return nn.functional.linear(on_grid, self.weight_scale[:, None] * self.weight_codes, self.bias)
