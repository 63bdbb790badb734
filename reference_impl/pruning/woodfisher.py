"""WoodFisher: the inverse of a Fisher matrix in blocks along its diagonal."""

import torch
from torch import Tensor


def woodfisher_inverse(gradients: Tensor, *, block_size: int = 64, damping: float = 1e-6) -> Tensor:
    """Return the inverses of the diagonal blocks of F = λI + (1 / N) Σ g_i g_iᵀ.

    The weights are cut into runs of `block_size` neighbours; what couples two runs is left out. Add one gradient
    after the other with the Sherman–Morrison formula, starting from I / λ, or sum each block and invert
    it: the matrix is the same.

    Args:
        gradients: (N, n) float32 or float64, row i the gradient of example i's loss in n weights.
        block_size: divides n.
        damping: λ, above 0, the same for all blocks.

    Returns:
        (n / block_size, block_size, block_size) float64; block b belongs to weights b * block_size up to (b + 1)
        * block_size. All sums are in float64.

    Raises:
        ValueError: `block_size` does not divide n.

    Paper: Singh and Alistarh 2020, WoodFisher (arXiv 2004.14340), equations 3 and 4, section 3.
    """
    ### BEGIN SOLUTION
    count, width = gradients.shape
    if width % block_size:
        raise ValueError(f"blocks of {block_size} do not divide {width} weights")
    runs = gradients.double().reshape(count, -1, block_size).transpose(0, 1)
    fisher = runs.transpose(1, 2) @ runs / count
    return torch.linalg.inv(fisher + damping * torch.eye(block_size, dtype=torch.float64))
    ### END SOLUTION
