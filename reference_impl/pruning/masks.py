"""Masks with an exact number of zeros: one budget for each layer, or one for all of them."""

import torch
from torch import Tensor


def layer_mask(scores: Tensor, share: float) -> Tensor:
    """Mark the entries of one tensor that stay.

    Exactly `round(share * n)` entries are removed, those with the smallest scores. Where scores are equal, the
    entry that comes first in `scores.flatten()` is removed first.

    Args:
        scores: of any shape, n entries; larger is more important.
        share: of entries to remove, 0 to 1.

    Returns:
        A bool tensor of the same shape: True where the entry stays.

    Raises:
        ValueError: `share` is outside 0 to 1.
    """
    ### BEGIN SOLUTION
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")
    order = scores.flatten().argsort(stable=True)
    kept = torch.ones(scores.numel(), dtype=torch.bool)
    kept[order[: round(share * scores.numel())]] = False
    return kept.reshape(scores.shape)
    ### END SOLUTION


def global_mask(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Mark the entries of several tensors that stay, with one budget for all.

    Exactly `round(share * n)` entries are removed, n being the entries of all tensors together: those with the
    smallest scores, wherever they are. Where scores are equal, the tensor that comes first in the dict loses
    its entry first, and within a tensor the entry that comes first in its `flatten()`.

    Args:
        scores: a tensor of any shape for each layer; larger is more important.
        share: of entries to remove, 0 to 1.

    Returns:
        For each layer a bool tensor of its scores' shape: True where the entry stays.

    Raises:
        ValueError: `share` is outside 0 to 1.
    """
    ### BEGIN SOLUTION
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must lie between 0 and 1")
    joined = torch.cat([part.flatten() for part in scores.values()])
    kept = torch.ones(joined.numel(), dtype=torch.bool)
    kept[joined.argsort(stable=True)[: round(share * joined.numel())]] = False
    parts = kept.split([part.numel() for part in scores.values()])
    return {name: mask.reshape(scores[name].shape) for name, mask in zip(scores, parts, strict=True)}
    ### END SOLUTION
