"""Dynamic layers and the benchmark."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.quantization.dynamic import DynamicQuantLinear, benchmark, quantize_dynamic

from .strategies import normal


def linear(rows: int, columns: int, seed: int, *, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(columns, rows, bias=bias)
    layer.weight.data = normal(rows, columns, seed=seed)
    if bias:
        layer.bias.data = normal(rows, seed=seed + 1)
    return layer


@given(st.integers(0, 99), st.sampled_from(["token", "tensor"]), st.booleans())
def test_equals_the_formula(seed: int, granularity: str, bias: bool) -> None:
    """Is the output the integer product times both scales, plus the bias?"""
    layer = linear(5, 8, seed, bias=bias)
    x = normal(3, 4, 8, seed=seed + 2)
    largest = x.abs().amax(-1, keepdim=True) if granularity == "token" else x.abs().amax()
    codes = torch.round(x / (largest / 127)).double()
    scale = layer.weight.abs().amax(1) / 127
    y = largest / 127 * scale * (codes @ torch.round(layer.weight / scale[:, None]).double().T)
    expected = y if layer.bias is None else y + layer.bias
    got = DynamicQuantLinear(layer, granularity=granularity)(x)
    torch.testing.assert_close(got.double(), expected.double(), atol=1e-4, rtol=1e-4)


@given(st.integers(0, 99), st.sampled_from(["token", "tensor"]))
def test_calls_do_not_influence_each_other(seed: int, granularity: str) -> None:
    """Is a second call what it would be without the first?"""
    layer = DynamicQuantLinear(linear(4, 6, seed), granularity=granularity)
    small, large = normal(3, 6, seed=seed) / 100, normal(3, 6, seed=seed + 1) * 100
    alone = layer(large)
    layer(small)
    assert torch.equal(layer(large), alone)


def test_weight_is_quantized_once_and_nothing_else_is_kept() -> None:
    """Does a later change of the original layer go unnoticed?"""
    source = linear(4, 6, 0)
    layer = DynamicQuantLinear(source)
    x = normal(2, 6, seed=5)
    before = layer(x)
    source.weight.data.mul_(2)
    source.bias.data.add_(1)
    assert torch.equal(layer(x), before)
    assert {name: value.dtype for name, value in layer.state_dict().items()} == {
        "weight_codes": torch.int8,
        "weight_scale": torch.float32,
        "bias": torch.float32,
    }


def test_zeros_stay_finite() -> None:
    """Are padded tokens and rows of zeros harmless?"""
    source = linear(3, 4, 0)
    source.weight.data[1] = 0
    out = DynamicQuantLinear(source)(torch.zeros(2, 4))
    torch.testing.assert_close(out, source.bias.detach().expand(2, 3))


def test_unknown_granularity_is_refused() -> None:
    """Is a scale for each channel, which could not leave the sum, an error?"""
    with pytest.raises(ValueError, match="granularity"):
        DynamicQuantLinear(linear(2, 2, 0), granularity="channel")


@pytest.mark.parametrize("training", [True, False])
def test_model_conversion(training: bool) -> None:
    """Is every linear layer replaced, in a copy that keeps its mode?"""
    inner = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4))
    model = nn.Sequential(nn.Embedding(9, 6), inner, nn.Linear(4, 2, bias=False)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    converted = quantize_dynamic(model, granularity="tensor")
    replaced = [name for name, layer in converted.named_modules() if isinstance(layer, DynamicQuantLinear)]
    assert replaced == ["1.0", "2"]
    assert all(module.training is training for module in converted.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    y: Tensor = converted(torch.arange(9))
    torch.testing.assert_close(y, model(torch.arange(9)), atol=0.05, rtol=0.0)


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=12), st.integers(0, 4))
def test_benchmark_on_a_fake_clock(durations: list[float], warmup: int) -> None:
    """Are the warm-up calls left out and is the median right?"""
    now, calls = 0.0, iter([100.0] * warmup + durations)

    def work() -> None:
        nonlocal now
        now += next(calls)

    result = benchmark(work, lambda: now, warmup=warmup, repeats=len(durations))
    ordered = sorted(durations)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    assert math.isclose(result["median"], 1000 * middle, rel_tol=1e-6)
    assert math.isclose(result["slowest"], 1000 * ordered[-1], rel_tol=1e-6)
    assert math.isclose(result["fastest"], 1000 * ordered[0], rel_tol=1e-6)
    assert next(calls, None) is None


def test_nothing_to_measure_is_refused() -> None:
    """Is the median of no call an error?"""
    with pytest.raises(ValueError, match="at least 1"):
        benchmark(lambda: None, lambda: 0.0, repeats=0)
