"""GPTQ: round one column after the other and let the columns that are left make up for it."""

from itertools import pairwise

import torch
from torch import Tensor


def hessian(batches: list[Tensor]) -> Tensor:
    """Return the Hessian of a layer's squared output error, H = 2 X^T X / n, float64 (in, in).

    With Y = X W^T the error (1 / n) * ||X (W' - W)^T||^2 is quadratic in each row of W', and H is its second
    derivative, the same for every row.

    Args:
        batches: inputs of the layer, each (rows, in) float32; X is all of them below each other and n
            the number of rows in all. The result must not depend on how X was split. No rows at all
            raise `ValueError`.

    Paper: Frantar et al. 2022 (arXiv 2210.17323), section 3, there without the factor 1 / n.
    """
    ### BEGIN SOLUTION
    count = sum(len(batch) for batch in batches)
    if count == 0:
        raise ValueError("no inputs were given")
    return 2 * sum(batch.double().T @ batch.double() for batch in batches) / count
    ### END SOLUTION


def gptq_quantize(
    weight: Tensor,
    hessian: Tensor,
    *,
    bits: int = 4,
    group_size: int = -1,
    damping: float = 0.01,
    block_size: int = 128,
    act_order: bool = False,
) -> dict[str, Tensor]:
    """Quantize a weight by GPTQ.

    Args:
        weight: (out, in) float32; not changed.
        hessian: (in, in) float64, as `hessian` returns it; not changed.
        bits: 2 to 8.
        group_size: neighbouring inputs of a row that share a grid, dividing `in`; -1 for the whole row.
        damping: share of the mean of H's diagonal that is added to the diagonal.
        block_size: columns after which the rest of the weight is updated in one product. It changes the
            speed and nothing else, whether or not it divides `in` or a group.
        act_order: quantize the columns in the order of falling diagonal of H instead of from left to right.

    Returns:
        `q` (out, in) uint8, `scale` and `zero` (out, groups) float64: weight ≈ scale * (q - zero), with the
        columns in their original order, whatever the order of work;
        `perm` (in,) int64, the columns in the order of work;
        `loss` (out,) float64: ½ d (H + λI) d^T for each row, d = restored - weight, where weight and H are
        those after step 1 and λI the damping of step 2.

    All in float64:

    1. A column whose diagonal entry of H is 0 never saw an input: set its weights to 0, the entry to 1.
    2. λ = damping * mean of H's diagonal; H += λI.
    3. With act_order sort the columns by falling diagonal of H; columns that are equal keep their order
       (`torch.argsort(..., descending=True, stable=True)`).
    4. U = the upper Cholesky factor of H^-1 in the order of work: H^-1 = U^T U.
    5. For each column j in the order of work: q_j = its codes; e = (w_j - restored_j) / U_jj; then for
       every later column k: w_k -= e * U_jk. A row's loss is the sum of ½ e².

    The grid of a group is asymmetric: low = min(min w, 0), high = max(max w, 0), scale = (high - low) /
    (2^bits - 1), or 1 where that is 0, zero = round(-low / scale); the code of w is round(w / scale) + zero, clamped
    to 0 .. 2^bits - 1 (round first, then add; `torch.round`). Without
    act_order it is taken when the work reaches the group, from its weights as updated by then; with
    act_order a group's columns are met out of order, so all grids are taken from the weights of step 1.

    Paper: Frantar et al. 2022 (arXiv 2210.17323), algorithm 1 and section 4.
    """
    ### BEGIN SOLUTION
    w, h = weight.double().clone(), hessian.double().clone()
    rows, columns = w.shape
    width = columns if group_size == -1 else group_size
    highest = 2**bits - 1

    def grid(group: Tensor) -> tuple[Tensor, Tensor]:
        low, high = group.amin(-1).clamp(max=0), group.amax(-1).clamp(min=0)
        step = (high - low) / highest
        step = torch.where(step > 0, step, torch.ones_like(step))
        return step, torch.round(-low / step)

    dead = h.diagonal() == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h += damping * h.diagonal().mean() * torch.eye(columns, dtype=h.dtype)
    perm = torch.argsort(h.diagonal(), descending=True, stable=True) if act_order else torch.arange(columns)
    scale, zero = grid(w.reshape(rows, -1, width))
    w, h = w[:, perm], h[perm][:, perm]
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    q, loss = torch.zeros_like(w), torch.zeros(rows, dtype=w.dtype)
    # Blocks end where a group begins, so that a group's weights are up to date when its grid is taken.
    starts = sorted({*range(0, columns, block_size), *range(0, columns, width), columns})
    for start, end in pairwise(starts):
        if start % width == 0 and not act_order:
            group = start // width
            scale[:, group], zero[:, group] = grid(w[:, start : start + width])
        errors = torch.zeros(rows, end - start, dtype=w.dtype)
        for j in range(start, end):
            group = int(perm[j]) // width
            q[:, j] = (torch.round(w[:, j] / scale[:, group]) + zero[:, group]).clamp(0, highest)
            error = (w[:, j] - scale[:, group] * (q[:, j] - zero[:, group])) / u[j, j]
            loss += error**2 / 2
            w[:, j + 1 : end] -= error[:, None] * u[j, j + 1 : end]
            errors[:, j - start] = error
        w[:, end:] -= errors @ u[start:end, end:]
    inverse = torch.argsort(perm)
    return {"q": q[:, inverse].to(torch.uint8), "scale": scale, "zero": zero, "perm": perm, "loss": loss}
    ### END SOLUTION
