"""Wanda: a weight matters as much as what it multiplies (Sun et al. 2023, arXiv 2306.11695, equation 1)."""

import torch
from torch import Tensor


def input_norms(inputs: Tensor) -> Tensor:
    """Return the l2 norm of each input feature over all tokens, (in,), in the dtype of the inputs.

    Args:
        inputs: what a layer is given, (tokens, in).
    """
    ### BEGIN SOLUTION
    return inputs.square().sum(0).sqrt()
    ### END SOLUTION


def wanda_mask(weight: Tensor, norms: Tensor, share: float) -> Tensor:
    """Mark the weights of one layer that stay under Wanda.

    The score of weight W[i, j] is |W[i, j]| * norms[j]. Scores are compared within an output row: each row loses
    exactly `round(share * in)` weights, those with the smallest scores. Where scores of a row are equal, the
    smaller column is removed first.

    Args:
        weight: (out, in). A `Conv1D` of GPT-2 keeps (in, out); transpose before the call.
        norms: (in,), as of `input_norms`.
        share: of each row to remove, 0 to 1.

    Returns:
        (out, in), bool: True where the weight stays.
    """
    ### BEGIN SOLUTION
    order = (weight.abs() * norms).argsort(dim=1, stable=True)
    mask = torch.ones_like(weight, dtype=torch.bool)
    mask.scatter_(1, order[:, : round(share * weight.shape[1])], False)
    return mask
    ### END SOLUTION
