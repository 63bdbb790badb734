"""Fake quantization: values on an integer grid, kept as floats, with a gradient that training can use."""

from typing import Any

import torch
from torch import Tensor


class FakeQuantizeSTE(torch.autograd.Function):
    """Round to a grid on the way forward, let the gradient through on the way back.

    The straight-through estimator of Bengio et al. 2013 (arXiv 1308.3432), section 4, with the clipped form
    of Jacob et al. 2018 (arXiv 1712.05877), section 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor | int, qmin: int, qmax: int) -> Tensor:
        """Return `x` on the grid: scale * (clamp(round(x / scale) + zero_point, qmin, qmax) - zero_point).

        Args:
            ctx: keeps what `backward` needs, with `ctx.save_for_backward`.
            x: floats of any shape; the result has its shape and dtype.
            scale: a positive float tensor that broadcasts against `x`, such as () or (out, 1).
            zero_point: an integer code, or an integer tensor that broadcasts against `x`.
            qmin, qmax: smallest and largest code. Halves round to even, as `torch.round` does.
        """
        ### BEGIN SOLUTION
        codes = torch.round(x / scale) + zero_point
        # Decided by the rounded code: the largest weight of a row may divide to 7.0000005 and is not clipped.
        ctx.save_for_backward((codes >= qmin) & (codes <= qmax))
        return ((codes.clamp(qmin, qmax) - zero_point) * scale).to(x.dtype)
        ### END SOLUTION

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Return one gradient for each argument of `forward` after `ctx`; None for all but `x`.

        The gradient of `x` is `grad_output` where qmin <= x / scale + zero_point <= qmax and 0 where `x` is
        clipped. In the half step beyond either edge, where a value still rounds to the last code, both
        answers are accepted.
        """
        ### BEGIN SOLUTION
        (inside,) = ctx.saved_tensors
        return grad_output * inside, None, None, None, None
        ### END SOLUTION


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor | int, qmin: int, qmax: int) -> Tensor:
    """Return `FakeQuantizeSTE` applied to these arguments.

    A custom autograd function is called through its method `apply`, which takes positional arguments only.
    Everything but `x` is a constant: no gradient reaches `scale`, even where it requires one.
    """
    ### BEGIN SOLUTION
    return FakeQuantizeSTE.apply(x, scale, zero_point, qmin, qmax)
    ### END SOLUTION


def fake_quantize_weight(weight: Tensor, bits: int) -> Tensor:
    """Return a weight on one symmetric grid an output channel, with scales taken from this very weight.

    Args:
        weight: (out, in) floats.
        bits: 2 to 8. Codes run from -q to q with q = 2^(bits - 1) - 1.

    Returns:
        (out, in) floats of the same dtype. Row o has the scale max_i |weight[o, i]| / q, or 1 where the row
        is all zeros. The scale is a constant for the gradient: detach it. Since it covers the whole row no
        weight is clipped, so the gradient of every weight is the gradient of its grid value, also that
        of the largest weight in a row and of zeros.

    Every call looks at the weight anew: training moves it. Paper: Jacob et al. 2018, section 3.1.
    """
    ### BEGIN SOLUTION
    q = 2 ** (bits - 1) - 1
    largest = weight.detach().abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest > 0, largest / q, torch.ones_like(largest))
    return fake_quantize(weight, scale, 0, -q, q)
    ### END SOLUTION


def latent_descent(
    weight: Tensor,
    inputs: Tensor,
    targets: Tensor,
    *,
    scale: float,
    qmax: int,
    learning_rate: float,
    steps: int,
) -> dict[str, Tensor]:
    """Fit a linear model whose weights live on a grid, by plain gradient descent on latent weights.

    Args:
        weight: (in,) the starting latent weights, not changed; use its dtype throughout.
        inputs, targets: (n, in) and (n,). The loss is mean((inputs @ grid(w) - targets)^2).
        scale, qmax: the grid scale * {-qmax, ..., qmax}, the same in every step.
        learning_rate: of w <- w - learning_rate * gradient.
        steps: how many updates.

    Returns:
        latent: (steps + 1, in), the latent weights before the first and after each update.
        codes: (steps + 1, in) int8, the codes of those weights.

    Each gradient is taken at the grid values and, by the straight-through estimator, applied to the latent
    weights: 0 for a weight that is clipped. The grid values are never written back.
    Paper: Courbariaux et al. 2015, BinaryConnect (arXiv 1511.00363), algorithm 1.
    """
    ### BEGIN SOLUTION
    step = torch.tensor(scale, dtype=weight.dtype)
    latent = weight.detach().clone().requires_grad_()
    path = [latent.detach().clone()]
    for _ in range(steps):
        loss = (inputs @ fake_quantize(latent, step, 0, -qmax, qmax) - targets).square().mean()
        (gradient,) = torch.autograd.grad(loss, latent)
        with torch.no_grad():
            latent -= learning_rate * gradient
        path.append(latent.detach().clone())
    history = torch.stack(path)
    return {"latent": history, "codes": torch.round(history / step).clamp(-qmax, qmax).to(torch.int8)}
    ### END SOLUTION
