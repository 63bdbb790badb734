"""Integer arithmetic and the conversion of a model with fixed input ranges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labkit.layers import StaticLinear
from torch import Tensor, nn

from reference_impl.quantization.observers import MinMaxObserver, PercentileObserver
from reference_impl.quantization.static import int8_linear, quantize_static

from .strategies import normal


def network() -> nn.Sequential:
    """A small network with dropout and with a linear layer that has no bias."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(8, 5, bias=False), nn.Tanh())
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), inner, nn.Linear(5, 3))


def batches(count: int = 3) -> list[dict[str, Tensor]]:
    return [{"input": normal(7, 6, seed=seed)} for seed in range(count)]


@given(st.integers(0, 99), st.integers(0, 255), st.booleans())
def test_accumulator_is_exact(seed: int, zero_point: int, with_bias: bool) -> None:
    """Is the int32 sum the integer product, also beyond 2^24?"""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (3, 1100), generator=generator, dtype=torch.uint8)
    w = torch.randint(-127, 128, (4, 1100), generator=generator, dtype=torch.int8)
    w[0] = 127
    bias = torch.randint(-9999, 9999, (4,), generator=generator, dtype=torch.int32) if with_bias else None
    accumulator, _ = int8_linear(x, zero_point, w, bias, torch.full((4,), 1e-6), 7)
    expected = (x.long() - zero_point) @ w.long().T + (0 if bias is None else bias.long())
    assert accumulator.dtype == torch.int32
    assert torch.equal(accumulator.long(), expected)


@given(st.integers(0, 99))
def test_codes_are_the_quantized_output(seed: int) -> None:
    """Does integer arithmetic agree with floats to one code?"""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (6, 32), generator=generator, dtype=torch.uint8)
    w = torch.randint(-127, 128, (5, 32), generator=generator, dtype=torch.int8)
    x_scale, w_scale, y_scale = 0.02, 0.01 + torch.rand(5, generator=generator) / 100, 0.5
    y = (x_scale * (x.double() - 100)) @ (w_scale.double()[:, None] * w.double()).T
    _, codes = int8_linear(x, 100, w, None, x_scale * w_scale / y_scale, 128)
    expected = (torch.round(y / y_scale) + 128).clamp(0, 255)
    assert codes.dtype == torch.uint8
    assert (codes.double() - expected).abs().max() <= 1


def test_conversion_replaces_every_linear_layer() -> None:
    """Are nested layers and layers without bias replaced, and is nothing else?"""
    model = network()
    converted = quantize_static(model, batches(), MinMaxObserver)
    kinds = [type(module) for module in converted.modules()]
    assert nn.Linear not in kinds
    assert kinds.count(StaticLinear) == 3
    assert converted.get_submodule("3.0").bias is None
    assert not converted.training


def test_the_original_is_left_alone() -> None:
    """Does the model keep its weights, its mode and its freedom from hooks?"""
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quantize_static(model, batches(), MinMaxObserver)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_calibration_runs_without_dropout() -> None:
    """Are ranges the same for a model in train mode?"""
    model = network()
    trained = quantize_static(model.train(), batches(), MinMaxObserver).state_dict()
    evaluated = quantize_static(model.eval(), batches(), MinMaxObserver).state_dict()
    assert all(torch.equal(trained[name], evaluated[name]) for name in trained)


def test_ranges_are_fixed_afterwards() -> None:
    """Does a later, larger input leave the input grids alone?"""
    converted = quantize_static(network(), batches(), MinMaxObserver)
    before = {name: value.clone() for name, value in converted.state_dict().items()}
    converted(normal(4, 6, seed=9) * 100)
    assert all(torch.equal(before[name], value) for name, value in converted.state_dict().items())


@pytest.mark.parametrize("make_observer", [MinMaxObserver, lambda: PercentileObserver(99.0)])
def test_output_stays_close(make_observer: type) -> None:
    """Is the converted model the model, to within 8-bit noise?"""
    model = network().eval()
    converted = quantize_static(model, batches(), make_observer)
    x = batches(1)[0]["input"]
    torch.testing.assert_close(converted(x), model(x), atol=0.1, rtol=0.0)
