"""Bias correction: remove the part of the quantization error that is the same for every input."""

import torch
from torch import Tensor


def bias_correction(
    weight: Tensor, bias: Tensor | None, quantized_weight: Tensor, inputs: Tensor, mask: Tensor
) -> Tensor:
    """Return the bias with which the quantized layer has the original layer's mean output.

    Args:
        weight: (out, in) float32, the original weight.
        bias: (out,) float32, or None, which counts as zeros: the layer gains a bias.
        quantized_weight: (out, in) float32, the values that the codes stand for.
        inputs: (batch, tokens, in) float32, what the layer is given during calibration. Both the
            original and the quantized weight are applied to these same inputs.
        mask: (batch, tokens), 1 for a token and 0 for padding. Padding does not count.

    Returns:
        (out,) float32, a new tensor:
        bias + mean over tokens of (weight @ x - quantized_weight @ x), one mean an output channel.
        Sums over tokens are taken in float64.

    Paper: Nagel et al. 2019 (arXiv 1906.04721), section 4.2, equations 16 and 17, here with means
    measured on data instead of derived from batch norm.
    """
    ### BEGIN SOLUTION
    tokens = inputs[mask.bool()].double()
    shift = (weight.double() - quantized_weight.double()) @ tokens.mean(dim=0)
    start = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()
    return (start + shift).float()
    ### END SOLUTION
