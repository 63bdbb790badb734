"""Hessian-vector products, Hutchinson's estimate and the HAWQ-V2 score."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.quantization.hessian_trace import hawq_score, hutchinson_trace, hvp


def symmetric(size: int, seed: int) -> Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return matrix + matrix.T


@given(st.integers(0, 300), st.integers(1, 6), st.integers(1, 6))
def test_product_is_that_of_the_matrix(seed: int, first: int, second: int) -> None:
    """For a quadratic plus a cubic in two parameters, is it the known Hessian times the vector?"""
    matrix = symmetric(first + second, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    point, vector = torch.randn(2, first + second, generator=generator, dtype=torch.float64)
    parts = [part.clone().requires_grad_() for part in point.split([first, second])]

    def loss() -> Tensor:
        w = torch.cat(parts)
        return 0.5 * w @ matrix @ w + (w**3).sum() / 3

    products = hvp(loss, parts, list(vector.split([first, second])))
    torch.testing.assert_close(torch.cat(products), matrix @ vector + 2 * point * vector)
    assert all(part.grad is None for part in parts)
    assert not any(product.requires_grad for product in products)


def test_product_is_a_finite_difference_of_gradients() -> None:
    """On a small network, is it the slope of the gradient along the vector?"""
    generator = torch.Generator().manual_seed(0)
    weight, vector = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(9, 4, generator=generator, dtype=torch.float64)

    def gradient(step: float) -> Tensor:
        moved = (weight + step * vector).requires_grad_()
        return torch.autograd.grad(torch.tanh(x @ moved.T).square().sum(), moved)[0]

    parameter = weight.clone().requires_grad_()
    (product,) = hvp(lambda: torch.tanh(x @ parameter.T).square().sum(), [parameter], [vector])
    torch.testing.assert_close(product, (gradient(1e-5) - gradient(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-6)


def test_unused_parameters_get_zeros() -> None:
    """Does a parameter that the loss does not use have a zero product?"""
    used, unused = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    products = hvp(lambda: (used**4).sum(), [used, unused], [torch.ones(3), torch.ones(2)])
    assert products[0].tolist() == [12.0] * 3
    assert products[1].tolist() == [0.0] * 2


def test_vectors_of_other_shapes_are_refused() -> None:
    """Is a vector that would broadcast an error?"""
    parameter = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="shape"):
        hvp(lambda: (parameter**2).sum(), [parameter], [torch.ones(1)])


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.integers(0, 100))
def test_one_probe_is_exact_on_a_diagonal_hessian(diagonal: list[float], seed: int) -> None:
    """Do random signs leave a diagonal alone?"""
    entries = torch.tensor(diagonal, dtype=torch.float64)
    parts = [torch.ones(1, dtype=torch.float64), torch.ones(len(diagonal) - 1, dtype=torch.float64)]
    for part in parts:
        part.requires_grad_()
    found = hutchinson_trace(
        lambda: 0.5 * (entries * torch.cat(parts) ** 2).sum(),
        parts,
        probes=1,
        generator=torch.Generator().manual_seed(seed),
    )
    assert found["trace"] == pytest.approx([diagonal[0], sum(diagonal[1:])], abs=1e-9)
    assert found["standard_error"] == [None, None]


@pytest.mark.parametrize("seed", range(5))
def test_estimate_and_error_are_those_of_theory(seed: int) -> None:
    """Is the estimate within five standard errors, and the error the stated one?"""
    matrix = symmetric(8, seed)
    parts = [torch.zeros(5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)]
    for part in parts:
        part.requires_grad_()

    def loss() -> Tensor:
        w = torch.cat(parts)
        return 0.5 * w @ matrix @ w

    found = hutchinson_trace(loss, parts, probes=400, generator=torch.Generator().manual_seed(seed))
    for number, (start, end) in enumerate(((0, 5), (5, 8))):
        block = matrix[start:end, start:end]
        coupled = matrix[start:end].square().sum() - block.square().sum()
        variance = 2 * (block.square().sum() - block.diagonal().square().sum()) + coupled
        theory = math.sqrt(float(variance) / 400)
        assert abs(found["trace"][number] - float(block.trace())) < 5 * theory
        assert found["standard_error"][number] == pytest.approx(theory, rel=0.3)


def test_no_probes_are_refused() -> None:
    """Is an estimate from nothing an error?"""
    with pytest.raises(ValueError, match="at least one"):
        hutchinson_trace(lambda: torch.ones(()), [], probes=0, generator=torch.Generator())


@given(st.floats(-10, 10), st.integers(1, 5), st.integers(1, 5))
def test_score_is_mean_curvature_times_squared_error(trace: float, rows: int, columns: int) -> None:
    """Is a weight moved by one step everywhere worth the trace times the step's square?"""
    weight = torch.zeros(rows, columns)
    score = hawq_score(trace, weight, weight + 0.5)
    assert score == pytest.approx(0.25 * max(trace, 0.0))
    with pytest.raises(ValueError, match="shapes differ"):
        hawq_score(trace, weight, torch.zeros(rows + 1, columns))
