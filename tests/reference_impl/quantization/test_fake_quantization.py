"""Fake quantization with a straight-through gradient, and descent on latent weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.fake_quantization import (
    FakeQuantizeSTE,
    fake_quantize,
    fake_quantize_weight,
    latent_descent,
)
from reference_impl.quantization.hidden_inputs_training import (
    around_grid,
    descent_by_hand,
    descent_problem,
    weight_off_ties,
)

from .strategies import matrices, normal


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 99), st.integers(2, 8), st.integers(0, 3))
def test_values_are_those_of_torchs_operator(seed: int, bits: int, zero_point: int) -> None:
    """Does the function give what torch's fused operator gives, where that operator applies?"""
    x, top = normal(9, 5, seed=seed), 2**bits - 1
    expected = torch.fake_quantize_per_tensor_affine(x, 0.125, zero_point, 0, top)
    torch.testing.assert_close(fake_quantize(x, torch.tensor(0.125), zero_point, 0, top), expected)


@given(matrices(), st.integers(2, 8))
def test_error_is_at_most_half_a_step_inside(x: torch.Tensor, bits: int) -> None:
    """Is no value of a weight moved by more than half a step?"""
    q = 2 ** (bits - 1) - 1
    step = x.abs().amax(1, keepdim=True) / q
    error = (fake_quantize_weight(x, bits) - x).abs()
    assert (error <= step * 0.501 + 1e-12).all()


@given(st.integers(0, 99))
def test_grid_values_stay(seed: int) -> None:
    """Does a second round trip change nothing?"""
    once = fake_quantize(normal(6, 7, seed=seed), torch.tensor(0.25), 0, -7, 7)
    assert torch.equal(fake_quantize(once, torch.tensor(0.25), 0, -7, 7), once)


@pytest.mark.parametrize(("qmin", "qmax", "zero_point"), [(-7, 7, 0), (0, 255, 90), (0, 3, 2)])
def test_gradient_is_one_inside_and_zero_outside(qmin: int, qmax: int, zero_point: int) -> None:
    """Does the gradient pass unchanged inside the grid, and not at all where a value is clipped?"""
    scale = torch.tensor([[0.1], [0.7]], dtype=torch.float64, requires_grad=True)
    x, codes, settled = around_grid((2, 50), scale.detach(), zero_point, qmin, qmax, seeded(1))
    leaf, upstream = x.clone().requires_grad_(), torch.randn(2, 50, dtype=torch.float64)
    FakeQuantizeSTE.apply(leaf, scale, zero_point, qmin, qmax).backward(upstream)
    inside = (codes >= qmin) & (codes <= qmax)
    assert leaf.grad is not None and scale.grad is None
    assert torch.equal(leaf.grad[settled], (upstream * inside)[settled])


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_every_weight_gets_its_gradient(bits: int) -> None:
    """Is the largest weight of a row never taken for clipped, whatever its quotient rounds to?"""
    weight = weight_off_ties(8, 30, bits, seeded(bits)).requires_grad_()
    upstream = normal(8, 30, seed=3)
    fake_quantize_weight(weight, bits).backward(upstream)
    assert torch.equal(weight.grad, upstream)


def test_a_row_of_zeros_is_left_alone() -> None:
    """Is there no division by zero, and does a gradient arrive?"""
    weight = torch.zeros(2, 3, requires_grad=True)
    fake_quantize_weight(weight, 4).sum().backward()
    assert torch.equal(weight.grad, torch.ones(2, 3))


@pytest.mark.parametrize("seed", range(5))
def test_descent_follows_the_written_out_gradient(seed: int) -> None:
    """Are latent weights moved by the gradient at their grid values?"""
    problem = descent_problem(seeded(seed))
    path = latent_descent(**problem, scale=0.5, qmax=3, learning_rate=0.05, steps=25)
    expected = descent_by_hand(**problem, scale=0.5, qmax=3, learning_rate=0.05, steps=25)
    torch.testing.assert_close(path["latent"], expected)
    assert path["codes"].dtype == torch.int8
    assert path["codes"].abs().max() <= 3


@pytest.mark.parametrize("target", [0.8, 0.3])
def test_a_target_between_two_codes_is_met_on_average(target: float) -> None:
    """Does the share of time on the upper code become the target?"""
    one = torch.ones(1, 1, dtype=torch.float64)
    path = latent_descent(
        torch.tensor([0.1], dtype=torch.float64),
        one,
        torch.tensor([target], dtype=torch.float64),
        scale=1.0,
        qmax=1,
        learning_rate=0.05,
        steps=200,
    )
    assert abs(path["codes"][50:].double().mean().item() - target) < 0.05
