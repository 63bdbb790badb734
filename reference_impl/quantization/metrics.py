"""What quantization costs and what it saves: signal-to-noise ratio and bytes."""

import math
from typing import Any

import torch
from torch import Tensor


def sqnr_db(signal: Tensor, approximation: Tensor) -> float:
    """Signal-to-quantization-noise ratio in decibels.

    Args:
        signal: the original values, any shape, not all zero.
        approximation: the values after quantizing and dequantizing, same shape.

    Returns:
        10 * log10(sum(signal^2) / sum((signal - approximation)^2)), a Python float, computed in
        float64. `math.inf` when the two are identical.
        Raises `ValueError` when the shapes differ: broadcasting would hide the mistake.

    Six decibels more means half the error, which is what one more bit buys
    (Gersho and Gray 1992, Vector Quantization and Signal Compression, section 5.6).
    """
    ### BEGIN SOLUTION
    if signal.shape != approximation.shape:
        raise ValueError(f"shapes differ: {tuple(signal.shape)} and {tuple(approximation.shape)}")
    noise = (signal.to(torch.float64) - approximation.to(torch.float64)).square().sum().item()
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal.to(torch.float64).square().sum().item() / noise)
    ### END SOLUTION


def model_bytes(parts: dict[str, Any]) -> int:
    """Bytes needed to store a model of which some tensors are quantized.

    Args:
        parts: one entry per tensor of the model, by name. An entry is either

            * a Tensor, stored as it is: number of elements times bytes per element; or
            * a dict, a quantized tensor: `{"codes": Tensor, "bits": int, "scale": Tensor,
              "zero_point": Tensor or None}`. Its codes are packed, `bits` bits each, and padded
              to whole bytes once per tensor. Scale and zero-point are stored as they are.
              `zero_point` is None on a symmetric grid and then costs nothing.

    Returns:
        The total, a Python int. File headers and names are not counted.
    """
    ### BEGIN SOLUTION
    total = 0
    for part in parts.values():
        if isinstance(part, dict):
            total += math.ceil(part["codes"].numel() * part["bits"] / 8)
            stored = [part["scale"], part["zero_point"]]
        else:
            stored = [part]
        total += sum(tensor.numel() * tensor.element_size() for tensor in stored if tensor is not None)
    return total
    ### END SOLUTION
