"""Folding the scale and shift of a normalization layer into the layers that read it."""

from typing import Any

import torch
from torch import Tensor


def fold_norm(gamma: Tensor, beta: Tensor, readers: list[dict[str, Any]]) -> dict[str, Any]:
    """Fold a LayerNorm's scale and shift into every linear layer that reads its output.

    With n the normalized input, the norm gives gamma * n + beta, and a linear layer makes of it
    W (gamma * n + beta) + b, which is a linear function of n with another weight and another bias.

    Args:
        gamma, beta: (in,) scale and shift of the norm.
        readers: everything that reads the norm's output. Each is a dict with "kind"; a linear layer is
            {"kind": "linear", "weight": (out, in), "bias": (out,) or None}, and a residual connection is
            {"kind": "add"}. Tensors are not changed.

    Returns:
        gamma: ones, beta: zeros, (in,) in the dtype of `gamma`; readers: for each reader, in order, a dict with the
        new "weight" and "bias". A layer without a bias gains one.

    Raises:
        ValueError: a reader is not a linear layer. In a post-LN block the residual connection reads the norm too and
            would lose the scale and shift, so that the function changes.
    """
    ### BEGIN SOLUTION
    for reader in readers:
        if reader["kind"] != "linear":
            raise ValueError(f"a reader of kind {reader['kind']!r} can not take over scale and shift")
    folded = []
    for reader in readers:
        weight, bias = reader["weight"], reader["bias"]
        shift = weight @ beta
        folded.append({"weight": weight * gamma, "bias": shift if bias is None else bias + shift})
    return {"gamma": torch.ones_like(gamma), "beta": torch.zeros_like(beta), "readers": folded}
    ### END SOLUTION
