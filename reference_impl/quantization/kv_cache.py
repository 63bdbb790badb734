"""A key-value cache in few bits: keys by channel, values by token."""

import torch
from torch import Tensor


def quantize_kv(keys: Tensor, values: Tensor, *, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Round a cache to asymmetric grids and return what attention will read.

    Args:
        keys, values: (batch, heads, tokens, width) float32.
        bits: 2 to 8.

    Returns:
        Both restored to float32. Keys: one grid for each channel of each head, over the tokens, because a key's
        outliers sit in fixed channels. Values: one grid for each token of each head, over the channels.
        A grid has low = min(min x, 0), high = max(max x, 0), scale = (high - low) / (2^bits - 1), or 1
        where that is 0, zero = round(-low / scale); a value becomes
        scale * (clamp(round(x / scale) + zero, 0, 2^bits - 1) - zero).

    Paper: Liu et al. 2024, KIVI (arXiv 2402.02750), section 3.
    """
    ### BEGIN SOLUTION
    highest = 2**bits - 1

    def snap(x: Tensor, dimension: int) -> Tensor:
        low = x.amin(dimension, keepdim=True).clamp(max=0)
        high = x.amax(dimension, keepdim=True).clamp(min=0)
        scale = (high - low) / highest
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        zero = torch.round(-low / scale)
        return scale * ((torch.round(x / scale) + zero).clamp(0, highest) - zero)

    return snap(keys, -2), snap(values, -1)
    ### END SOLUTION
