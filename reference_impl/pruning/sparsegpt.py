"""SparseGPT: remove weights column by column and let the columns that are left make up for it."""

import torch
from torch import Tensor


def sparsegpt_prune(
    weight: Tensor, hessian: Tensor, sparsity: float, *, damping: float = 0.01, block_size: int = 64
) -> dict[str, Tensor]:
    """Prune a weight by SparseGPT.

    Args:
        weight: (out, in) float32; not changed.
        hessian: (in, in) float64, H = 2 XᵀX / n of the layer's inputs X (n, in); not changed.
        sparsity: share of the weights to remove, 0 to 1.
        damping: share of the mean of H's diagonal that is added to the diagonal.
        block_size: columns whose mask is chosen together. It changes the result; it need not divide `in`, the last
            block is then narrower.

    Returns:
        `weight` (out, in) float64, exactly 0 where removed; `mask` (out, in) bool, True where a weight stays;
        `loss` (out,) float64: ½ d (H + λI) dᵀ for each row, d = returned - given weight, where the given weight
        and H are those after step 1 and λI the damping of step 2.

    All in float64:

    1. A column whose diagonal entry of H is 0 never saw an input: set its weights to 0, the entry to 1.
    2. λ = damping * mean of H's diagonal; H += λI.
    3. U = the upper Cholesky factor of H⁻¹: H⁻¹ = UᵀU.
    4. For each block of columns from left to right, with the weights as they are by then: the score of a
       weight in column j is (w / U_jj)². Of all scores of the block, over all rows together, the
       round(sparsity * number) smallest are removed.
    5. For each column j of the block, from left to right: e = w_j / U_jj where the weight is removed and 0 where it
       stays; w_j = 0 where removed; for every later column k, in this block and after it: w_k -= e * U_jk.
       A row's loss is the sum of ½ e².

    Paper: Frantar and Alistarh 2023, SparseGPT (arXiv 2301.00774), algorithm 1 and section 3.
    """
    ### BEGIN SOLUTION
    w, h = weight.double().clone(), hessian.double().clone()
    rows, columns = w.shape
    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h += damping * h.diagonal().mean() * torch.eye(columns, dtype=h.dtype)
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    mask, loss = torch.ones_like(w, dtype=torch.bool), torch.zeros(rows, dtype=w.dtype)
    for start in range(0, columns, block_size):
        end = min(start + block_size, columns)
        scores = (w[:, start:end] / u.diagonal()[start:end]).square().flatten()
        kept = torch.ones(len(scores), dtype=torch.bool)
        kept[scores.argsort()[: round(sparsity * len(scores))]] = False
        mask[:, start:end] = kept.reshape(rows, -1)
        errors = torch.zeros(rows, end - start, dtype=w.dtype)
        for j in range(start, end):
            error = torch.where(mask[:, j], 0.0, w[:, j] / u[j, j])
            loss += error**2 / 2
            w[:, j] = torch.where(mask[:, j], w[:, j], 0.0)
            w[:, j + 1 : end] -= error[:, None] * u[j, j + 1 : end]
            errors[:, j - start] = error
        w[:, end:] -= errors @ u[start:end, end:]
    return {"weight": w, "mask": mask, "loss": loss}
    ### END SOLUTION
