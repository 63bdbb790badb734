"""GPTQ against an implementation that follows the paper's row-by-row derivation, and its identities."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.quantization.gptq import gptq_quantize, hessian
from reference_impl.quantization.hidden_inputs_groups import correlated_layer
from tests.reference_impl.quantization.strategies import normal


def case(seed: int, columns: int = 16, outputs: int = 3) -> tuple[Tensor, Tensor]:
    weight, inputs = correlated_layer(columns, 60, torch.Generator().manual_seed(seed), outputs=outputs)
    return weight, hessian([inputs])


def restored(parts: dict[str, Tensor]) -> Tensor:
    rows, columns = parts["q"].shape
    steps = parts["q"].double().reshape(rows, parts["scale"].shape[1], -1) - parts["zero"][..., None]
    return (parts["scale"][..., None] * steps).reshape(rows, columns)


def damped(h: Tensor, damping: float = 0.01) -> Tensor:
    return h + damping * h.diagonal().mean() * torch.eye(len(h), dtype=h.dtype)


def optimal_brain_quantizer(weight: Tensor, h: Tensor, bits: int) -> Tensor:
    """One row after the other, with the inverse of what is left computed anew for each column (OBQ, equation 3)."""
    w, codes = weight.double().clone(), torch.zeros_like(weight, dtype=torch.uint8)
    low, high = w.amin(1).clamp(max=0), w.amax(1).clamp(min=0)
    scale, highest = (high - low) / (2**bits - 1), 2**bits - 1
    zero = torch.round(-low / scale)
    for row in range(len(w)):
        for j in range(w.shape[1]):
            inverse = torch.linalg.inv(h[j:, j:])
            code = (torch.round(w[row, j] / scale[row]) + zero[row]).clamp(0, highest)
            error = (w[row, j] - scale[row] * (code - zero[row])) / inverse[0, 0]
            w[row, j:] -= error * inverse[0]
            codes[row, j] = code.to(torch.uint8)
    return codes


@given(st.integers(0, 999), st.integers(2, 4))
@settings(max_examples=20)
def test_the_cholesky_form_is_optimal_brain_quantization(seed: int, bits: int) -> None:
    weight, h = case(seed)
    ours = gptq_quantize(weight, h, bits=bits)["q"]
    assert torch.equal(ours, optimal_brain_quantizer(weight, damped(h), bits))


@given(st.integers(0, 999), st.sampled_from([-1, 4, 8]), st.booleans(), st.integers(1, 20))
def test_the_losses_add_up_to_the_quadratic_form(seed: int, size: int, act_order: bool, block: int) -> None:
    weight, h = case(seed)
    parts = gptq_quantize(weight, h, bits=3, group_size=size, act_order=act_order, block_size=block)
    difference = restored(parts) - weight.double()
    expected = ((difference @ damped(h)) * difference).sum(1) / 2
    torch.testing.assert_close(parts["loss"], expected, rtol=1e-7, atol=1e-12)


@given(st.integers(0, 999), st.sampled_from([-1, 4, 8]), st.integers(1, 20))
def test_the_block_size_changes_nothing(seed: int, size: int, block: int) -> None:
    weight, h = case(seed)
    one, other = (gptq_quantize(weight, h, bits=3, group_size=size, block_size=b) for b in (16, block))
    assert torch.equal(one["q"], other["q"])
    torch.testing.assert_close(one["scale"], other["scale"])


@given(st.integers(0, 999))
def test_independent_inputs_are_rounded_to_nearest(seed: int) -> None:
    weight = normal(4, 10, seed=seed)
    diagonal = torch.diag(0.1 + torch.rand(10, generator=torch.Generator().manual_seed(seed)).double())
    low, high = weight.double().amin(1).clamp(max=0), weight.double().amax(1).clamp(min=0)
    scale = (high - low) / 15
    nearest = torch.round(weight.double() / scale[:, None]) + torch.round(-low / scale)[:, None]
    assert torch.equal(gptq_quantize(weight, diagonal)["q"].double(), nearest.clamp(0, 15))


def test_the_order_is_by_falling_diagonal_and_is_undone() -> None:
    weight, h = case(3)
    parts = gptq_quantize(weight, h, bits=4, act_order=True)
    diagonal = h.diagonal()[parts["perm"]]
    assert (diagonal[:-1] >= diagonal[1:]).all() and parts["perm"].sort().values.tolist() == list(range(16))
    assert (restored(parts) - weight).abs().max() < 3 * parts["scale"].max()


def test_the_output_error_is_below_that_of_nearest_and_the_weights_error_above() -> None:
    weight, inputs = correlated_layer(128, 3000, torch.Generator().manual_seed(0))
    parts = gptq_quantize(weight, hessian([inputs]), bits=3)
    step = parts["scale"]
    nearest = step * ((torch.round(weight / step) + parts["zero"]).clamp(0, 7) - parts["zero"])
    errors = [candidate - weight.double() for candidate in (restored(parts), nearest)]
    outputs = [(inputs.double() @ error.T).square().sum() for error in errors]
    assert outputs[0] < 0.5 * outputs[1] and errors[0].square().sum() > errors[1].square().sum()


def test_inputs_that_are_always_zero_lose_their_weights() -> None:
    weight, inputs = correlated_layer(8, 50, torch.Generator().manual_seed(1), outputs=2)
    inputs[:, 2], weight[:, 2] = 0.0, 99.0
    assert (restored(gptq_quantize(weight, hessian([inputs])))[:, 2] == 0).all()


@given(st.integers(1, 29), st.integers(0, 99))
def test_the_hessian_does_not_depend_on_the_split(cut: int, seed: int) -> None:
    x = normal(30, 5, seed=seed)
    torch.testing.assert_close(hessian([x[:cut], x[cut:]]), 2 * x.double().T @ x.double() / 30)


def test_no_rows_have_no_hessian() -> None:
    for batches in ([], [torch.empty(0, 4)]):
        with pytest.raises(ValueError, match="no inputs"):
            hessian(batches)
