"""PACT: the clipping level of an activation is a parameter, trained with the weights."""

from typing import Any

import torch
from torch import Tensor


class PACTFunction(torch.autograd.Function):
    """Clip at a learned level, then round: Choi et al. 2018 (arXiv 1805.06085), equations 1 to 3."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, bits: int) -> Tensor:
        """Return round(clamp(x, 0, alpha) * (2^bits - 1) / alpha) * alpha / (2^bits - 1).

        Args:
            ctx: keeps what `backward` needs.
            x: activations of any shape.
            alpha: the clipping level, a positive scalar tensor.
            bits: 1 to 8; the codes are 0 .. 2^bits - 1.
        """
        ### BEGIN SOLUTION
        ctx.save_for_backward(x, alpha)
        scale = alpha / (2**bits - 1)
        return torch.round(torch.minimum(x.clamp(min=0), alpha) / scale) * scale
        ### END SOLUTION

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `x` and `alpha`, and None for `bits`.

        * x: `grad_output` where 0 < x < alpha, 0 elsewhere;
        * alpha: the sum of `grad_output` over the values with x >= alpha, in the shape of `alpha`. Values
          below alpha give nothing: by the straight-through estimator their rounding is no function of alpha.
        """
        ### BEGIN SOLUTION
        x, alpha = ctx.saved_tensors
        clipped = x >= alpha
        return grad_output * ((x > 0) & ~clipped), (grad_output * clipped).sum().reshape(alpha.shape), None
        ### END SOLUTION
