"""Learned steps and learned clips: values, gradients, and steps that stay positive."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.hidden_inputs_training import around_steps
from reference_impl.quantization.lsq import LSQFunction, LSQQuantizer, lsq_initial_step
from reference_impl.quantization.pact import PACTFunction

from .strategies import matrices, normal


@given(matrices(), st.integers(2, 8))
def test_initial_step_is_positive_and_scales_with_the_values(values: torch.Tensor, bits: int) -> None:
    """Is the step above 0, and twice as large for values twice as large?"""
    step = lsq_initial_step(values, bits)
    assert step > 0
    rows = lsq_initial_step(values, bits, per_row=True)
    assert rows.shape == (len(values), 1)
    if step > 1e-6:
        torch.testing.assert_close(lsq_initial_step(2 * values, bits), 2 * step)
        torch.testing.assert_close(rows.mean(), step)


@pytest.mark.parametrize("shape", [(), (6, 1)])
@pytest.mark.parametrize(("qn", "qp"), [(8, 7), (2, 1), (0, 15)])
def test_gradients_are_those_of_the_detached_form(shape: tuple[int, ...], qn: int, qp: int) -> None:
    """Does the written-out gradient equal autograd's on round(x) = x + (round(x) - x).detach()?"""
    generator = torch.Generator().manual_seed(qn)
    step = 0.05 + torch.rand(shape, generator=generator, dtype=torch.float64)
    v, _ = around_steps((6, 40), step, qn, qp, generator)
    upstream = torch.randn(6, 40, generator=generator, dtype=torch.float64)
    grads = []
    for written_out in (True, False):
        leaf, size = v.clone().requires_grad_(), step.clone().requires_grad_()
        if written_out:
            y = LSQFunction.apply(leaf, size, qn, qp, 0.25)
        else:
            ratio = (leaf / size).clamp(-qn, qp)
            y = (ratio + (torch.round(ratio) - ratio).detach()) * size
        y.backward(upstream)
        grads.append((y.detach(), leaf.grad, size.grad * (1 if written_out else 0.25)))
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize(
    "bits", [4, 8]
)  # at 2 bits values lie in the half step beyond an end, where torch differs
def test_gradient_agrees_with_torchs_learnable_operator(per_row: bool, bits: int) -> None:
    """Does torch's own learned-step operator give the same gradients?"""
    weight = normal(6, 40, seed=bits)
    quantizer = LSQQuantizer(weight, bits, per_row=per_row)
    leaf = weight.clone().requires_grad_()
    quantizer(leaf).square().sum().backward()
    other = weight.clone().requires_grad_()
    step = quantizer.step.detach().expand(6, 1).flatten().clone().requires_grad_()
    torch._fake_quantize_learnable_per_channel_affine(
        other, step, torch.zeros(6), 0, -quantizer.qn, quantizer.qp, quantizer.gradient_scale
    ).square().sum().backward()
    mine = quantizer.step.grad
    theirs = step.grad.reshape(6, 1) if per_row else step.grad.sum()
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@given(st.floats(-1e6, 1e6), st.booleans())
def test_step_stays_positive(push: float, per_row: bool) -> None:
    """Is the step positive and the output finite after any update?"""
    weight = normal(4, 9, seed=1)
    quantizer = LSQQuantizer(weight, 3, per_row=per_row)
    with torch.no_grad():
        quantizer.step -= push
    output = quantizer(weight)
    assert (quantizer.step > 0).all()
    assert torch.isfinite(output).all()


@pytest.mark.parametrize(("options", "count"), [({}, 36), ({"per_row": True}, 9), ({"count": 5}, 5)])
def test_gradient_scale_counts_what_shares_a_step(options: dict[str, int], count: int) -> None:
    """Is N the number of values that share one step, or the count that was passed?"""
    assert LSQQuantizer(normal(4, 9, seed=1), 4, **options).gradient_scale == pytest.approx(
        (count * 7) ** -0.5
    )


@given(st.integers(0, 50), st.integers(1, 8))
def test_pact_is_the_papers_formula(seed: int, bits: int) -> None:
    """Do values, the gradient of x and that of alpha follow equations 1 to 3?"""
    generator = torch.Generator().manual_seed(seed)
    top = 2**bits - 1
    alpha = 0.5 + torch.rand((), generator=generator, dtype=torch.float64)
    x, ratio = around_steps((5, 30), alpha / top, 0, top, generator)
    leaf, level = x.clone().requires_grad_(), alpha.clone().requires_grad_()
    y = PACTFunction.apply(leaf, level, bits)
    y.sum().backward()
    clipped = 0.5 * (x.abs() - (x - alpha).abs() + alpha)  # equation 1
    torch.testing.assert_close(y.detach(), torch.round(clipped * top / alpha) * alpha / top)
    torch.testing.assert_close(leaf.grad, ((ratio > 0) & (ratio < top)).double())
    torch.testing.assert_close(level.grad, (ratio >= top).double().sum())
