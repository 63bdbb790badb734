"""Optimal Brain Surgeon: remove weights and move the others to where the loss rises least."""

import torch
from torch import Tensor


def obs_prune(weight: Tensor, inverse: Tensor, removed: Tensor) -> dict[str, Tensor]:
    """Remove a set of weights at once and compensate with the others, by the inverse Hessian.

    Of all vectors that are 0 on the set S, the one with the smallest ½ δᵀ H δ, δ = new - weight, is

        new = weight - H⁻¹[:, S] (H⁻¹[S, S])⁻¹ weight[S],   and its loss is ½ weight[S]ᵀ (H⁻¹[S, S])⁻¹ weight[S].

    Args:
        weight: (n,) float32 or float64; not changed.
        inverse: (n, n), H⁻¹, symmetric and positive definite; not changed.
        removed: (n,) bool, True for the weights that go; none and all are possible.

    Returns:
        `weight` (n,) float64, exactly 0 where removed; `loss`, a float64 scalar, 0 where nothing is removed.
        All sums are in float64.

    Paper: Hassibi and Stork 1993, Optimal Brain Surgeon (NeurIPS 5), equation 5, for one weight; Singh and Alistarh
    2020, WoodFisher (arXiv 2004.14340), for sets.
    """
    ### BEGIN SOLUTION
    w, h = weight.double(), inverse.double()
    indices = removed.nonzero()[:, 0]
    gone = w[indices]
    multipliers = torch.linalg.solve(h[indices][:, indices], gone)
    new = w - h[:, indices] @ multipliers
    new[indices] = 0  # up to rounding it is already
    return {"weight": new, "loss": 0.5 * gone @ multipliers}
    ### END SOLUTION
