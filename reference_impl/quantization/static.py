"""Static quantization: integer arithmetic with input ranges that were fixed beforehand."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from labkit.layers import StaticLinear
from torch import Tensor, nn


def int8_linear(
    x_codes: Tensor,
    x_zero_point: int,
    w_codes: Tensor,
    bias_codes: Tensor | None,
    multiplier: Tensor,
    y_zero_point: int,
) -> tuple[Tensor, Tensor]:
    """A linear layer in integers, as an accelerator computes it.

    Args:
        x_codes: (rows, in) uint8, the input x = s_x * (x_codes - x_zero_point).
        x_zero_point: 0 to 255.
        w_codes: (out, in) int8, the weight w = s_w * w_codes with one scale an output channel.
        bias_codes: (out,) int32, the bias in units of s_x * s_w, or None for no bias.
        multiplier: (out,) float, M = s_x * s_w / s_y for each output channel.
        y_zero_point: 0 to 255.

    Returns:
        `(accumulator, y_codes)`. accumulator: (rows, out) int32,
        sum_k (x_codes - x_zero_point)[r, k] * w_codes[o, k] + bias_codes[o], exact: with 1,024
        inputs at full range it exceeds 2^24, where float32 stops being exact, so neither float32
        nor 8-bit products will do.
        y_codes: (rows, out) uint8, clamp(round(M * accumulator) + y_zero_point, 0, 255), with the
        product taken in float64.

    Paper: Jacob et al. 2018 (arXiv 1712.05877), equations 4 to 9 and section 2.4.
    """
    ### BEGIN SOLUTION
    accumulator = x_codes.to(torch.int32) @ w_codes.to(torch.int32).T
    # (q_x - z) . q_w = q_x . q_w - z * sum q_w: the correction is known before any input arrives.
    accumulator = accumulator - x_zero_point * w_codes.to(torch.int32).sum(dim=1, dtype=torch.int32)
    if bias_codes is not None:
        accumulator = accumulator + bias_codes
    y_codes = torch.round(multiplier.double() * accumulator) + y_zero_point
    return accumulator, y_codes.clamp(0, 255).to(torch.uint8)
    ### END SOLUTION


def quantize_static(
    model: nn.Module,
    calibration: list[dict[str, Tensor]],
    make_observer: Callable[[], Any],
    *,
    input_bits: int = 8,
) -> nn.Module:
    """Return a copy of `model` whose linear layers have 8-bit weights and fixed input grids.

    Args:
        model: any module that is not itself a linear layer, with `nn.Linear` layers at any depth. It is
            left as it was: same weights, same mode (train or eval), no hooks.
        calibration: batches; each is passed on as `model(**batch)`. Every linear layer runs at least
            once in calibration.
        make_observer: called without arguments once for each linear layer; what it returns has
            `observe(x)` and `bounds()`.
        input_bits: width of the codes of the inputs.

    Returns:
        A deep copy in eval mode in which every `nn.Linear` is replaced by
        `StaticLinear(weight_codes, weight_scale, input_scale, input_zero_point, bias, input_bits)`:

        * weight_codes (out, in) int8, weight_scale (out,): symmetric, 8 bits, one grid per output
          channel; the scale of a row of zeros is 1;
        * input_scale (float) and input_zero_point (int): the asymmetric grid over the range that
          the layer's observer reports, extended to contain 0; scale 1 if that range is empty;
        * bias: the layer's own, in float32, or None.

        Calibration runs in eval mode (dropout off) and without gradients, each batch once through
        the unquantized model, every position of a batch included. An observer sees its layer's
        input during calibration and never again.

    Paper: Wu et al. 2020 (arXiv 2004.09602), sections 3 and 4; Krishnamoorthi 2018
    (arXiv 1806.08342), section 3.1.
    """
    ### BEGIN SOLUTION
    quantized = copy.deepcopy(model).eval()
    linears = {name: layer for name, layer in quantized.named_modules() if isinstance(layer, nn.Linear)}
    observers = {name: make_observer() for name in linears}
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: observers[name].observe(inputs[0]))
        for name, layer in linears.items()
    ]
    with torch.no_grad():
        for batch in calibration:
            quantized(**batch)
    for hook in hooks:
        hook.remove()
    for name, layer in linears.items():
        weight = layer.weight.detach()
        weight_scale = weight.abs().amax(dim=1) / 127
        weight_scale = torch.where(weight_scale > 0, weight_scale, torch.ones_like(weight_scale))
        weight_codes = torch.round(weight / weight_scale[:, None]).to(torch.int8)
        low, high = observers[name].bounds()
        low, high = min(low, 0.0), max(high, 0.0)
        input_scale = (high - low) / (2**input_bits - 1) or 1.0
        input_zero_point = round(-low / input_scale)
        bias = None if layer.bias is None else layer.bias.detach()
        parent, _, last = name.rpartition(".")
        replacement = StaticLinear(
            weight_codes, weight_scale, input_scale, input_zero_point, bias, input_bits
        )
        setattr(quantized.get_submodule(parent), last, replacement)
    return quantized
    ### END SOLUTION
