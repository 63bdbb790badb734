"""What a model weighs: bytes, weights, zeros."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def stored_bytes(model: nn.Module) -> int:
    """Return the bytes of the model's file: its state dict as safetensors, shared tensors once.

    Modules of ``torch.ao.quantization`` keep packed weights that safetensors can not hold; their state dict
    is measured in torch's own format.
    """
    from safetensors.torch import save

    state = model.state_dict()
    if not all(isinstance(value, Tensor) and not value.is_quantized for value in state.values()):
        stream = io.BytesIO()
        torch.save(state, stream)
        return stream.tell()
    return len(save(_once(state)))


def parameter_count(model: nn.Module) -> int:
    """Return how many weights the model has, shared ones once.

    Parameters count, and so do integer matrices in buffers (the weights of a quantized layer) and the packed
    weights of ``torch.ao.quantization``. Scales and zero points do not.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    total += sum(buffer.numel() for buffer in model.buffers() if _is_integer_matrix(buffer))
    return total + sum(tensor.numel() for tensor in _packed(model))


def bits_per_weight(model: nn.Module) -> float:
    """Return 8 times bytes on disk over weights: everything in the file counts, scales and header too."""
    return 8 * stored_bytes(model) / parameter_count(model)


def sparsity(model: nn.Module) -> float:
    """Return the share of exact zeros, 0 to 1, among entries of weight matrices (2 dimensions or more)."""
    matrices = [parameter.detach() for parameter in model.parameters() if parameter.dim() >= 2]
    matrices += [buffer for buffer in model.buffers() if _is_integer_matrix(buffer)]
    matrices += [tensor.int_repr() for tensor in _packed(model) if tensor.is_quantized]
    entries = sum(matrix.numel() for matrix in matrices)
    zeros = sum(int((matrix == 0).sum()) for matrix in matrices)
    return zeros / entries if entries else 0.0


def _once(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep the first of tensors that share memory."""
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    kept: dict[str, Tensor] = {}
    for key, value in state.items():
        place = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and place in seen:
            continue
        seen.add(place)
        kept[key] = value.detach().contiguous().clone()
    return kept


def _is_integer_matrix(buffer: Tensor) -> bool:
    return buffer.dim() >= 2 and buffer.dtype in (torch.int8, torch.uint8)


def _packed(model: nn.Module) -> Iterator[Tensor]:
    """Yield the weight and bias of every packed linear layer of ``torch.ao.quantization``."""
    for module in model.modules():
        if type(module).__name__ == "LinearPackedParams":
            unpack: Any = module._weight_bias
            yield from (tensor for tensor in unpack() if tensor is not None)
