"""SmoothQuant: move part of the activations' range into the weights, so that both fit 8 bits."""

import torch
from torch import Tensor


def smooth(
    producers: list[Tensor], consumers: list[Tensor], x_max: Tensor, *, alpha: float = 0.5
) -> tuple[list[Tensor], list[Tensor]]:
    """Divide activation channels by s and multiply the weights that read them by s.

    Args:
        producers: a norm's weight (width,), or a linear layer's weight (width, in) or bias (width,): what makes
            the channels. Divided by s along the first dimension.
        consumers: weights (out, width) of every layer that reads the channels. Columns multiplied by s.
        x_max: (width,), the largest absolute value of each channel in calibration.
        alpha: 0 to 1, the share of the difficulty that moves into the weights.

    Returns:
        New producers and consumers, in order; the arguments are not changed. For channel j
        s_j = x_max_j^α / w_max_j^(1 - α), where w_max_j is the largest |w| in column j over all
        consumers; x_max and w_max count as at least 1e-5.

    Paper: Xiao et al. 2022 (arXiv 2211.10438), equations 3 and 4.
    """
    ### BEGIN SOLUTION
    w_max = torch.stack([weight.abs().amax(0) for weight in consumers]).amax(0).clamp_min(1e-5)
    s = x_max.clamp_min(1e-5) ** alpha / w_max ** (1 - alpha)
    divided = [producer / s.reshape(-1, *[1] * (producer.dim() - 1)) for producer in producers]
    return divided, [consumer * s for consumer in consumers]
    ### END SOLUTION


def w8a8_linear(x: Tensor, weight: Tensor, x_max: float | None = None) -> Tensor:
    """Multiply 8-bit activations by an 8-bit weight, both on symmetric grids with codes -127 .. 127.

    Args:
        x: (rows, in) float32.
        weight: (out, in) float32; one scale for the whole matrix, max|w| / 127.
        x_max: the largest value of the static grid that all rows share, found in calibration; values beyond it
            are clamped. None gives each row (token) a grid of its own, over max|x| of the row.

    Returns:
        (rows, out) float32: the product of the integer codes, exact, times the scales. A scale of 0 becomes 1.

    Paper: Xiao et al. 2022 (arXiv 2211.10438), section 2 and equation 2.
    """
    ### BEGIN SOLUTION
    reach = x.abs().amax(1, keepdim=True) if x_max is None else torch.full((len(x), 1), float(x_max))
    x_scale = reach / 127
    x_scale = torch.where(x_scale > 0, x_scale, torch.ones_like(x_scale))
    w_scale = weight.abs().max() / 127
    w_scale = w_scale if w_scale > 0 else torch.ones_like(w_scale)
    x_codes = torch.round(x / x_scale).clamp(-127, 127)
    w_codes = torch.round(weight / w_scale)
    # Sums of integers below 2^53 are exact in float64, whatever their order.
    return (x_scale * w_scale * (x_codes.double() @ w_codes.double().T)).float()
    ### END SOLUTION
