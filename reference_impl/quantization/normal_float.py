"""NF4: sixteen levels that a normal distribution fills evenly."""

import torch
from torch import Tensor


def nf4_codebook() -> Tensor:
    """Return the 16 levels of NF4 in rising order, float32, from -1 to 1 with an exact 0.

    Phi^-1 is the quantile function of the standard normal distribution and o = 0.9677083 the largest
    probability used. Eight levels are not negative: take Phi^-1 at 9 evenly spaced probabilities from
    o down to 0.5 (`torch.linspace(o, 0.5, 9)`), all but the last, which is 0; that gives eight positive
    levels. Seven are negative: minus Phi^-1 at 8 evenly spaced probabilities from o down to 0.5, all but
    the last. With 0 they are 16. Divide by the largest.

    Paper: Dettmers et al. 2023 (arXiv 2305.14314), section 3 and appendix E.
    """
    ### BEGIN SOLUTION
    normal = torch.distributions.Normal(0.0, 1.0)
    positive = normal.icdf(torch.linspace(0.9677083, 0.5, 9))[:-1]
    negative = -normal.icdf(torch.linspace(0.9677083, 0.5, 8))[:-1]
    levels = torch.cat([negative, torch.zeros(1), positive]).sort().values
    return levels / levels.max()
    ### END SOLUTION


def quantize_nf4(weight: Tensor, codebook: Tensor, *, group_size: int = 64) -> tuple[Tensor, Tensor]:
    """Give every weight the index of the nearest level, after dividing its group by the group's largest |w|.

    Args:
        weight: (out, in) float32.
        codebook: (16,) rising levels from -1 to 1.
        group_size: neighbouring inputs of a row that share a scale; divides `in`.

    Returns:
        `(q, scale)`: q (out, in) uint8, 0 .. 15; scale (out, groups) float32, the largest absolute value
        of each group, 1 where all are 0. The weight is restored as codebook[q] * scale.
    """
    ### BEGIN SOLUTION
    rows, columns = weight.shape
    groups = weight.reshape(rows, -1, group_size)
    scale = groups.abs().amax(-1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    distance = (groups / scale[..., None])[..., None] - codebook
    return distance.abs().argmin(-1).reshape(rows, columns).to(torch.uint8), scale
    ### END SOLUTION
