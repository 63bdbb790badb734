"""Conversion to integers, and folding a norm into what reads it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labkit.layers import StaticLinear
from torch import Tensor, nn

from labkit import evaluation, ops, zoo
from reference_impl.quantization.calibration.quantization_aware import FakeQuantized
from reference_impl.quantization.convert import convert, convert_linear
from reference_impl.quantization.hidden_inputs_training import around_steps
from reference_impl.quantization.norm_folding import fold_norm

from .strategies import normal


@given(st.integers(0, 60), st.sampled_from([(-8, 7), (-2, 1), (-127, 127)]))
def test_integer_layer_is_the_trained_layer(seed: int, ends: tuple[int, int]) -> None:
    """Given integer inputs, is the layer in integers the trained one, but for half a unit of bias?"""
    generator = torch.Generator().manual_seed(seed)
    scale = 0.02 + torch.rand(5, generator=generator, dtype=torch.float64)
    weight, ratio = around_steps((5, 20), scale[:, None], -ends[0], ends[1], generator)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    parts = convert_linear(weight, bias, scale, 0.05, qmin=ends[0], qmax=ends[1])
    codes = torch.round(ratio).clamp(*ends)
    assert torch.equal(parts["weight_codes"].double(), codes)
    x = torch.randint(-200, 200, (9, 20), generator=generator).double()
    trained = 0.05 * x @ (scale[:, None] * codes).T + bias
    integers = parts["accumulator_scale"] * (x @ parts["weight_codes"].double().T + parts["bias_codes"])
    assert ((trained - integers).abs() <= 0.5001 * parts["accumulator_scale"]).all()


def test_no_bias_stays_none() -> None:
    """Is a layer without a bias converted without one?"""
    parts = convert_linear(normal(3, 4, seed=0), None, torch.ones(3), 0.1, qmin=-8, qmax=7)
    assert parts["bias_codes"] is None


def fake_quantized_encoder() -> nn.Module:
    model = zoo.load("encoder")
    for name, layer in ops.linear_layers(model).items():
        scale = 2 * layer.weight.detach().abs().mean(1) / 3**0.5
        ops.set_module(model, name, FakeQuantized(layer, scale, -3.0, 4.0))
    return model


def test_converted_model_gives_the_same_logits() -> None:
    """Does the encoder say the same before and after, and is the original left alone?"""
    model = fake_quantized_encoder().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    converted = convert(model)
    pictures = {"pixel_values": torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))}
    torch.testing.assert_close(
        evaluation.logits(converted, pictures), evaluation.logits(model, pictures), atol=1e-4, rtol=1e-4
    )
    assert model.training and not converted.training
    assert sum(isinstance(module, StaticLinear) for module in converted.modules()) == 20
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(
        tensor.requires_grad
        for module in converted.modules()
        if isinstance(module, StaticLinear)
        for tensor in module.state_dict(keep_vars=True).values()
    )


@given(st.integers(0, 60), st.booleans())
def test_folding_preserves_every_reader(seed: int, with_bias: bool) -> None:
    """Is what a reader computes from the norm's output unchanged?"""

    def draw(*shape: int) -> Tensor:
        return normal(*shape, seed=seed).double()

    gamma, beta, n = draw(2, 7)[0], draw(2, 7)[1], draw(9, 7)
    readers = [
        {"kind": "linear", "weight": draw(out, 7), "bias": draw(out) if with_bias else None} for out in (3, 7)
    ]
    folded = fold_norm(gamma, beta, readers)
    for old, new in zip(readers, folded["readers"], strict=True):
        expected = nn.functional.linear(gamma * n + beta, old["weight"], old["bias"])
        torch.testing.assert_close(
            (folded["gamma"] * n + folded["beta"]) @ new["weight"].T + new["bias"], expected
        )


@pytest.mark.parametrize("place", [0, 1])
def test_post_ln_is_refused(place: int) -> None:
    """Is a residual reader refused wherever it stands?"""
    readers: list[dict[str, object]] = [{"kind": "linear", "weight": torch.ones(2, 3), "bias": None}]
    readers.insert(place, {"kind": "add"})
    with pytest.raises(ValueError, match="add"):
        fold_norm(torch.ones(3), torch.zeros(3), readers)
