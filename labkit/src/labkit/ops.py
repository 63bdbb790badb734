"""Primitives that a notebook borrows when an earlier notebook taught them.

They call torch's own fused operators instead of writing formulas out, and carry other names than the labs'
functions, so they help a student who starts at a later notebook and give no solution away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

SMALLEST_SCALE = 1e-12


def snap(x: Tensor, bits: int = 8, *, axis: int | None = None, limit: Tensor | float | None = None) -> Tensor:
    """Return ``x`` on a symmetric integer grid, as floats, by torch's fake-quantization operators.

    Levels run from -(2^(bits-1) - 1) to 2^(bits-1) - 1, halves round to even.

    Args:
        x: floats of any shape.
        bits: 2 to 16.
        axis: one scale for each index along this axis; one scale for all of ``x`` if None.
        limit: absolute value of the largest level; the largest absolute value by default.

    Raises:
        ValueError: ``bits`` is out of range, or both ``axis`` and ``limit`` are given.
    """
    top = _levels(bits)
    if axis is None:
        scale = _scale(x.abs().amax() if limit is None else torch.as_tensor(limit), top)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, -top, top)
    if limit is not None:
        raise ValueError("limit is for one scale; with axis each index has its own")
    axis = axis % x.dim()
    others = [dimension for dimension in range(x.dim()) if dimension != axis]
    scales = _scale(x.abs().amax(others), top)
    return torch.fake_quantize_per_channel_affine(
        x, scales, torch.zeros_like(scales, dtype=torch.int32), axis, -top, top
    )


def snap_between(x: Tensor, low: float, high: float, bits: int = 8) -> Tensor:
    """Return ``x`` on an asymmetric grid of 2^bits levels over [low, high] extended to hold 0, as floats.

    Raises:
        ValueError: ``bits`` is out of range or ``low`` is above ``high``.
    """
    _levels(bits)
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    top = 2**bits - 1
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / top, SMALLEST_SCALE)
    zero = round(min(max(-low / scale, 0), top))
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, top)


def snap_groups(weight: Tensor, bits: int = 4, group_size: int = 128) -> Tensor:
    """Return a weight (out, in) on asymmetric grids, one for each ``group_size`` inputs of a row, as floats.

    Each grid has 2^bits levels over its group's range extended to hold 0.

    Args:
        weight: (out, in).
        bits: 2 to 8.
        group_size: divides ``in``; -1 for the whole row.

    Raises:
        ValueError: ``bits`` is out of range or the groups do not divide the row.
    """
    _levels(bits)
    width = weight.shape[1] if group_size == -1 else group_size
    if width < 1 or weight.shape[1] % width:
        raise ValueError(f"groups of {group_size} do not divide {weight.shape[1]} inputs")
    rows = weight.reshape(-1, width)
    top = 2**bits - 1
    low, high = rows.amin(1).clamp_max(0), rows.amax(1).clamp_min(0)
    scales = ((high - low).detach().float() / top).clamp_min(SMALLEST_SCALE)
    zeros = (-low / scales).round().clamp(0, top).to(torch.int32)
    return torch.fake_quantize_per_channel_affine(rows, scales, zeros, 0, 0, top).reshape(weight.shape)


def linear_layers(model: nn.Module, *, skip: tuple[str, ...] = ()) -> dict[str, nn.Linear]:
    """Return the ``nn.Linear`` modules by name, without those whose name contains a part of ``skip``."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(part in name for part in skip)
    }


def weight_layers(model: nn.Module, *, skip: tuple[str, ...] = ()) -> dict[str, nn.Module]:
    """Return the layers that multiply by a matrix, by name: ``nn.Linear`` and the ``Conv1D`` of GPT-2.

    A ``Conv1D`` keeps its weight as (in, out), a ``Linear`` as (out, in). Embeddings are left out, and so is a
    layer whose weight is an embedding's, such as the ``lm_head`` of a language model with tied embeddings.

    Args:
        model: is not changed.
        skip: layers whose name contains one of these parts are left out.
    """
    from transformers.pytorch_utils import Conv1D

    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and id(module.weight) not in embeddings
        and not any(part in name for part in skip)
    }


def set_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the submodule ``name``, such as "bert.encoder.layer.0.output.dense".

    Raises:
        AttributeError: the model has no such submodule.
    """
    parent_name, _, last = name.rpartition(".")
    parent = model.get_submodule(parent_name)
    if not hasattr(parent, last):
        raise AttributeError(f"the model has no module called {name}")
    setattr(parent, last, module)


@torch.no_grad()
def snap_weights(
    model: nn.Module, bits: int = 8, *, axis: int | None = 0, skip: tuple[str, ...] = ()
) -> nn.Module:
    """Put the weights of all linear layers on integer grids, in place, and return the model."""
    for layer in linear_layers(model, skip=skip).values():
        layer.weight.copy_(snap(layer.weight, bits, axis=axis))
    return model


@torch.no_grad()
def layer_inputs(
    model: nn.Module, names: list[str], batches: list[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Run batches through the model and return what each named layer was given, rows joined: (rows, width).

    The model runs in eval mode and keeps its mode; every hook is removed, also after an error.
    """
    kept: dict[str, list[Tensor]] = {name: [] for name in names}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _module, inputs: kept[name].append(inputs[0].detach().flatten(0, -2))

    hooks = [model.get_submodule(name).register_forward_pre_hook(keeper(name)) for name in names]
    training = model.training
    model.eval()
    try:
        for batch in batches:
            model(**{key: value for key, value in batch.items() if key != "labels"})
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return {name: torch.cat(parts) for name, parts in kept.items()}


def _levels(bits: int) -> int:
    if not 2 <= bits <= 16:
        raise ValueError(f"bits is {bits}; 2 to 16 are possible")
    return int(2 ** (bits - 1) - 1)


def _scale(limit: Tensor, top: int) -> Tensor:
    return (limit.detach().float() / top).clamp_min(SMALLEST_SCALE)
