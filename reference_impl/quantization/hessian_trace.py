"""Curvature without a Hessian: Hessian-vector products, Hutchinson's trace and the HAWQ-V2 score."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def hvp(loss: Callable[[], Tensor], parameters: list[Tensor], vectors: list[Tensor]) -> list[Tensor]:
    """Product of the loss's Hessian with a vector, without forming the Hessian.

    Args:
        loss: `loss()` runs the model and returns a scalar with a graph; call it once.
        parameters: leaf tensors with `requires_grad`, of any shapes. The Hessian is over all of
            them together.
        vectors: one tensor for each parameter, of its shape and dtype.

    Returns:
        One detached tensor for each parameter, of its shape: that parameter's part of H v. It
        contains the contributions of every vector, through the mixed second derivatives. A
        parameter that the loss does not use gets zeros.
        The gradient is differentiated a second time (`create_graph=True`); the `.grad` of the
        parameters is not touched.
        Raises `ValueError` when the shapes of parameters and vectors do not agree.

    Pearlmutter 1994, Fast Exact Multiplication by the Hessian.
    """
    ### BEGIN SOLUTION
    if [p.shape for p in parameters] != [v.shape for v in vectors]:
        raise ValueError("each parameter needs a vector of its own shape")
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)
    product = sum((g * v).sum() for g, v in zip(gradients, vectors, strict=True))
    parts = torch.autograd.grad(product, parameters, materialize_grads=True)
    return [part.detach() for part in parts]
    ### END SOLUTION


def hutchinson_trace(
    loss: Callable[[], Tensor], parameters: list[Tensor], *, probes: int, generator: torch.Generator
) -> dict[str, Any]:
    """Estimate the trace of each parameter's block of the Hessian with random signs.

    Args:
        loss: as for `hvp`.
        parameters: as for `hvp`.
        probes: how many random vectors, 1 or more; `ValueError` below.
        generator: every random number comes from it, so a seed repeats an estimate.

    Returns:
        `{"trace": list of floats, "standard_error": list}`, one entry for each parameter.

        A probe draws for every entry of every parameter an independent sign, -1 or +1 with equal
        probability (a Rademacher vector), and computes one `hvp` for all parameters together. Its
        sample for parameter i is the sum of v_i * (H v)_i. "trace" is the mean of the samples, and
        "standard_error" their standard deviation (with n - 1) over the square root of n; None for
        each parameter where there is one probe only.

        On a diagonal Hessian every sample equals the trace, because v squared is 1. Otherwise a
        sample has the variance 2 * sum over pairs i != j inside the block of H_ij^2, plus the sum of
        H_ij^2 over entries that couple the block to other parameters.

    Hutchinson 1990; Dong et al. 2020, HAWQ-V2 (arXiv 1911.03852).
    """
    ### BEGIN SOLUTION
    if probes < 1:
        raise ValueError(f"probes is {probes}; at least one is needed")
    samples = []
    for _ in range(probes):
        signs = [
            torch.randint(0, 2, p.shape, generator=generator).to(device=p.device, dtype=p.dtype) * 2 - 1
            for p in parameters
        ]
        products = hvp(loss, parameters, signs)
        samples.append([float((v * hv).double().sum()) for v, hv in zip(signs, products, strict=True)])
    table = torch.tensor(samples, dtype=torch.float64)
    errors = [None] * len(parameters)
    if probes > 1:
        errors = (table.std(0) / math.sqrt(probes)).tolist()
    return {"trace": table.mean(0).tolist(), "standard_error": errors}
    ### END SOLUTION


def hawq_score(trace: float, weight: Tensor, quantized: Tensor) -> float:
    """How much a layer suffers from quantization, by HAWQ-V2: mean curvature times squared error.

    Args:
        trace: of the Hessian's block of this weight, such as an entry of `hutchinson_trace`.
        weight: the layer's weight, any shape.
        quantized: the same weight after quantization, same shape.

    Returns:
        trace / n * ||quantized - weight||^2, a Python float, where n is the number of entries of
        the weight and the norm is the square root of the sum of squares (not of the mean). The
        squares are summed in float64. A negative trace, which noise or a saddle gives, counts as 0.
        Raises `ValueError` when the shapes differ.

    Dong et al. 2020 HAWQ-V2 (arXiv 1911.03852), equation 2.11.
    """
    ### BEGIN SOLUTION
    if weight.shape != quantized.shape:
        raise ValueError(f"shapes differ: {tuple(weight.shape)} and {tuple(quantized.shape)}")
    error = (quantized.double() - weight.double()).square().sum()
    return max(trace, 0.0) / weight.numel() * float(error)
    ### END SOLUTION
