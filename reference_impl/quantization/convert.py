"""Conversion: from fake-quantized layers, as training leaves them, to the integers that are shipped."""

import copy
from typing import Any

import torch
from labkit.layers import StaticLinear
from torch import Tensor, nn


def convert_linear(
    weight: Tensor,
    bias: Tensor | None,
    weight_scale: Tensor,
    input_scale: float,
    *,
    qmin: int,
    qmax: int,
) -> dict[str, Any]:
    """Return the integers of one fake-quantized linear layer.

    Args:
        weight: (out, in) float weights as training left them, not yet on their grid.
        bias: (out,) or None.
        weight_scale: (out,) positive, the scales the layer was trained with. They may be learned, so that the
            largest weight of a row is clipped or the last code is not used: never estimate them again.
        input_scale: the step of the input's grid.
        qmin, qmax: smallest and largest weight code, within -128 .. 127.

    Returns:
        weight_codes: (out, in) int8, clamp(round(weight / scale of its row), qmin, qmax).
        accumulator_scale: (out,) float64, input_scale * weight_scale, the value of one unit of the
            accumulator sum_k (x_codes - zero_point)[k] * weight_codes[o, k].
        bias_codes: (out,) int32, the bias in these units, rounded; None without a bias.

    Divisions in float64. Paper: Jacob et al. 2018 (arXiv 1712.05877), section 2.4.
    """
    ### BEGIN SOLUTION
    scales = weight_scale.detach().double()
    codes = torch.round(weight.detach().double() / scales[:, None]).clamp(qmin, qmax)
    unit = input_scale * scales
    return {
        "weight_codes": codes.to(torch.int8),
        "accumulator_scale": unit,
        "bias_codes": None if bias is None else torch.round(bias.detach().double() / unit).to(torch.int32),
    }
    ### END SOLUTION


def convert(model: nn.Module) -> nn.Module:
    """Return a copy of a trained model in which fake-quantized layers hold integers.

    Args:
        model: is left as it was. Its fake-quantized layers, at any depth, are the modules that have an
            attribute `weight_scale`. Each also has `weight` (out, in), `bias` (out,) or None, `qmin` and `qmax`
            of the weight's codes, `input_scale` and `input_zero_point` (tensors of one value), and `input_bits`.

    Returns:
        A deep copy in eval mode in which each of them is replaced by
        `StaticLinear(weight_codes, weight_scale, input_scale, input_zero_point, bias, input_bits)` of
        `labkit.layers`: codes from `convert_linear`, weight_scale (out,) float32, input_scale a float,
        input_zero_point an int, and the float bias, which is added after the accumulator was scaled: at few
        bits a unit of the accumulator is too coarse for it. None of its tensors requires a gradient or shares memory
        with the original. Everything else stays.
    """
    ### BEGIN SOLUTION
    converted = copy.deepcopy(model).eval()
    trained = {name: layer for name, layer in converted.named_modules() if hasattr(layer, "weight_scale")}
    for name, layer in trained.items():
        input_scale = float(layer.input_scale)
        parts = convert_linear(
            layer.weight, layer.bias, layer.weight_scale, input_scale, qmin=layer.qmin, qmax=layer.qmax
        )
        replacement = StaticLinear(
            parts["weight_codes"],
            layer.weight_scale.detach().float().clone(),
            input_scale,
            int(layer.input_zero_point),
            None if layer.bias is None else layer.bias.detach().clone(),
            layer.input_bits,
        )
        parent, _, last = name.rpartition(".")
        setattr(converted.get_submodule(parent), last, replacement)
    return converted
    ### END SOLUTION
