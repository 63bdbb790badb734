"""Calibration by relative entropy: clip where the histogram loses the least information."""

import torch
from torch import Tensor


def kl_threshold(hist: Tensor, *, levels: int = 128, eps: float = 1e-4) -> int:
    """Choose how many bins of a histogram of |x| the grid should cover.

    Args:
        hist: (n_bins,) counts of |x| in bins of equal width that start at 0; n_bins >= levels,
            not all zero. Bins may be empty. Fewer bins than levels raise `ValueError`.
        levels: how many non-negative levels the grid has, 128 for signed 8-bit codes.
        eps: added to every bin of both distributions before they are compared.

    Returns:
        The number of bins kept, i, from `levels` to n_bins. The clip threshold is then i times
        the width of a bin.

        For each i, in float64:

        1. P: the first i bins, with the count of all later bins added to the last of them.
        2. Q: the first i bins without that addition, merged into `levels` groups: bin j
           (j = 0 .. i-1) belongs to group floor(j * levels / i). The count of a group is then
           spread evenly over those of its bins that were not empty; empty bins stay empty.
        3. Divide P and Q by their sums (a Q whose sum is 0 stays 0), add eps to every bin of both,
           and divide by the sums again.
        4. KL(P, Q) = sum_j P_j * ln(P_j / Q_j).

        The answer is the i with the smallest KL, the smallest such i if there are several.

    Paper: Migacz 2017, 8-bit Inference with TensorRT (GTC, slides 26 to 39).
    """
    ### BEGIN SOLUTION
    counts = hist.double()
    if len(counts) < levels:
        raise ValueError(f"{len(counts)} bins are fewer than {levels} levels")
    best, smallest = len(counts), float("inf")
    for kept in range(levels, len(counts) + 1):
        inside = counts[:kept]
        p = inside.clone()
        p[-1] += counts[kept:].sum()
        group = torch.arange(kept) * levels // kept
        occupied = (inside > 0).double()
        mass = torch.zeros(levels, dtype=torch.float64).index_add_(0, group, inside)
        bins = torch.zeros(levels, dtype=torch.float64).index_add_(0, group, occupied)
        q = (mass / bins.clamp(min=1))[group] * occupied
        p = p / p.sum() + eps
        q = q / q.sum().clamp(min=1e-300) + eps
        p, q = p / p.sum(), q / q.sum()
        divergence = (p * (p / q).log()).sum().item()
        if divergence < smallest:
            best, smallest = kept, divergence
    return best
    ### END SOLUTION
