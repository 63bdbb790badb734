"""Cross-layer equalization: move scale from one weight to the next without changing the function."""

import torch
from torch import Tensor


def cross_layer_equalization(
    weight_1: Tensor, bias_1: Tensor | None, weight_2: Tensor, bias_2: Tensor | None, *, between: str
) -> dict[str, Tensor | None]:
    """Give the channels between two linear layers equal ranges in both weights.

    Args:
        weight_1: (channels, in), float32.
        bias_1: (channels,) or None.
        weight_2: (out, channels) for "relu" and "value_output"; (channels, in) for "query_key".
        bias_2: the second layer's bias or None.
        between: what lies between the layers.
            "relu": layer 2 is applied to the ReLU of layer 1's output.
            "value_output": layer 1 makes attention values, layer 2 is the output projection;
                averaging values over tokens is linear, so channel scales pass through.
            "query_key": layer 1 makes queries, layer 2 makes keys; only their products
                sum_i query_i * key_i matter.
            Anything else raises `ValueError`. GELU(s x) is not s GELU(x), and the output of a
            LayerNorm that is also added to the residual stream has other readers, so "gelu" and
            "layer_norm" have to be refused.

    Returns:
        {"weight_1", "bias_1", "weight_2", "bias_2"}, new tensors; the arguments stay as they are.
        A bias that was None stays None.

        With r1_i the largest magnitude in row i of weight_1, and r2_i the largest magnitude that
        belongs to channel i in weight_2 (a column, or a row for "query_key"),

            s_i = sqrt(r1_i * r2_i) / r2_i,

        or 1 where r1_i or r2_i is 0. Channel i of layer 1 (row and bias entry) is divided by s_i;
        channel i of layer 2 is multiplied by s_i (the column; for "query_key" the row and the bias
        entry). Afterwards both ranges are sqrt(r1_i * r2_i).

    Paper: Nagel et al. 2019 (arXiv 1906.04721), section 4.1, equation 11.
    """
    ### BEGIN SOLUTION
    if between not in ("relu", "value_output", "query_key"):
        raise ValueError(f"a channel's scale does not pass through {between!r}")
    rows = between == "query_key"
    r1 = weight_1.abs().amax(dim=1)
    r2 = weight_2.abs().amax(dim=1 if rows else 0)
    s = torch.where((r1 > 0) & (r2 > 0), torch.sqrt(r1 * r2) / r2, torch.ones_like(r1))
    second_bias = None if bias_2 is None else bias_2.clone()
    if rows and bias_2 is not None:
        second_bias = bias_2 * s
    return {
        "weight_1": weight_1 / s[:, None],
        "bias_1": None if bias_1 is None else bias_1 / s,
        "weight_2": weight_2 * (s[:, None] if rows else s),
        "bias_2": second_bias,
    }
    ### END SOLUTION
