"""Learned step size quantization: the step of a grid is a parameter, trained with the weights."""

from typing import Any

import torch
from torch import Tensor, nn


def lsq_initial_step(values: Tensor, bits: int, *, per_row: bool = False) -> Tensor:
    """Return the step that learned step size quantization starts from, 2 * mean|v| / sqrt(Qp).

    Args:
        values: floats; (out, in) where `per_row` is set, else any shape.
        bits: 2 to 8; Qp = 2^(bits - 1) - 1 is the largest code.
        per_row: one step for each row instead of one for all values.

    Returns:
        A tensor of shape (), or (out, 1) with `per_row`, in the dtype of `values` and without gradient. At
        least 1e-8, so that values that are all 0 give no step of 0.

    Paper: Esser et al. 2020 (arXiv 1902.08153), section 2.1.
    """
    ### BEGIN SOLUTION
    magnitudes = values.detach().abs()
    average = magnitudes.mean(dim=1, keepdim=True) if per_row else magnitudes.mean()
    return (2 * average / (2 ** (bits - 1) - 1) ** 0.5).clamp(min=1e-8)
    ### END SOLUTION


class LSQFunction(torch.autograd.Function):
    """The quantizer of Esser et al. 2020 (arXiv 1902.08153), equations 1 to 5, as one autograd function."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, step: Tensor, qn: int, qp: int, gradient_scale: float) -> Tensor:
        """Return step * round(clamp(v / step, -qn, qp)).

        Args:
            ctx: keeps what `backward` needs.
            v: floats of any shape.
            step: positive, of shape () or any other that broadcasts against `v`, such as (out, 1).
            qn, qp: magnitudes of the smallest and the largest code; qn is 0 for unsigned data.
            gradient_scale: a factor for the step's gradient alone.
        """
        ### BEGIN SOLUTION
        ratio = v / step
        ctx.save_for_backward(ratio)
        ctx.constants = qn, qp, gradient_scale, step.shape
        return torch.round(ratio.clamp(-qn, qp)) * step
        ### END SOLUTION

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `v` and `step`, and None for the rest.

        * v: `grad_output` where -qn < v / step < qp, 0 elsewhere (equation 5);
        * step: the sum over all values that share it of `grad_output` times -qn where v / step <= -qn, qp where
          v / step >= qp, and round(v / step) - v / step between them (equation 3), times `gradient_scale`. It
          has the shape of `step`: `Tensor.sum_to_size` adds up what was broadcast.
        """
        ### BEGIN SOLUTION
        (ratio,) = ctx.saved_tensors
        qn, qp, gradient_scale, shape = ctx.constants
        inside = (ratio > -qn) & (ratio < qp)
        slope = torch.where(inside, torch.round(ratio) - ratio, ratio.clamp(-qn, qp))
        return (
            grad_output * inside,
            (grad_output * slope).sum_to_size(shape) * gradient_scale,
            None,
            None,
            None,
        )
        ### END SOLUTION


class LSQQuantizer(nn.Module):
    """A symmetric quantizer with a learned step, for a weight or for an activation.

    Esser et al. 2020 (arXiv 1902.08153), sections 2.1 and 2.2.
    """

    def __init__(self, values: Tensor, bits: int, *, per_row: bool = False, count: int | None = None) -> None:
        """Start from `lsq_initial_step(values, bits, per_row=per_row)`.

        Args:
            values: the weight (out, in), or a sample of the activations.
            bits: 2 to 8. Codes run from -Qn = -2^(bits - 1) to Qp = 2^(bits - 1) - 1: one more below 0
                than the symmetric grids of notebooks 01 and 02 have.
            per_row: one step for each row of `values`.
            count: N of the gradient scale; by default the number of `values` that share one step. For an
                activation pass the number of features instead, whatever the batch.

        Keep `step`, an `nn.Parameter` of the initial step's shape; `qn` and `qp`; `gradient_scale`, the float
        1 / sqrt(N * Qp); and `smallest`, a buffer: a thousandth of the initial step.
        """
        super().__init__()
        ### BEGIN SOLUTION
        self.qn, self.qp = 2 ** (bits - 1), 2 ** (bits - 1) - 1
        initial = lsq_initial_step(values, bits, per_row=per_row)
        self.step = nn.Parameter(initial)
        self.register_buffer("smallest", initial / 1000)
        shared = values.numel() // initial.numel() if count is None else count
        self.gradient_scale = (shared * self.qp) ** -0.5
        ### END SOLUTION

    def forward(self, v: Tensor) -> Tensor:
        """Return `v` on the grid, by `LSQFunction`.

        An update may have pushed the step to 0 or below, where v / step has no meaning. So first, without
        gradient and in place, raise every entry of `step` that lies under `smallest` to it: the
        parameter itself is positive after each call, and goes on learning from there.
        """
        ### BEGIN SOLUTION
        with torch.no_grad():
            self.step.copy_(torch.maximum(self.step, self.smallest))
        return LSQFunction.apply(v, self.step, self.qn, self.qp, self.gradient_scale)
        ### END SOLUTION
