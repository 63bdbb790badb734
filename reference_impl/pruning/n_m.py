"""N:M sparsity: n of every m weights in a row stay (Mishra et al. 2021, arXiv 2104.08378)."""

import torch
from torch import Tensor


def nm_mask(scores: Tensor, n: int = 2, m: int = 4, *, axis: int = 1) -> Tensor:
    """Mark n of every m neighbours along the input axis, those with the largest scores.

    The groups are entries 0 ... m-1, m ... 2m-1, ... along `axis`. Where scores of a group are equal, the entry
    with the larger index stays, as in the other masks of this course.

    Args:
        scores: (out, in) of a `Linear` with `axis=1`, (in, out) of a `Conv1D` with `axis=0`.
        n: entries of a group that stay, 0 to m.
        m: entries of a group; it must divide the length of `axis`.
        axis: the input axis, 0 or 1.

    Returns:
        A bool tensor of the shape of `scores`: True where the weight stays.

    Raises:
        ValueError: groups of m do not divide the axis.
    """
    ### BEGIN SOLUTION
    if scores.shape[axis] % m:
        raise ValueError(f"groups of {m} do not divide {scores.shape[axis]} inputs")
    rows = scores if axis == 1 else scores.T
    order = rows.reshape(-1, m).argsort(dim=1, stable=True)
    mask = torch.ones(order.shape, dtype=torch.bool)
    mask.scatter_(1, order[:, : m - n], False)
    mask = mask.reshape(rows.shape)
    return mask if axis == 1 else mask.T.contiguous()
    ### END SOLUTION
