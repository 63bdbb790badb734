"""SmoothQuant, the 8-bit product and the quantized cache."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.kv_cache import quantize_kv
from reference_impl.quantization.smoothquant import smooth, w8a8_linear
from tests.reference_impl.quantization.strategies import normal

SEEDS = st.integers(0, 999)


@given(SEEDS, st.floats(0, 1))
def test_smoothing_preserves_the_function_and_sets_the_ranges(seed: int, alpha: float) -> None:
    x, up = normal(9, 4, seed=seed), normal(5, 4, seed=seed + 1)
    readers = [normal(3, 5, seed=seed + 2), normal(6, 5, seed=seed + 3)]
    hidden = x @ up.T
    reach = hidden.abs().amax(0)
    (new_up,), new_readers = smooth([up], readers, reach, alpha=alpha)
    for old, new in zip(readers, new_readers, strict=True):
        torch.testing.assert_close(x @ new_up.T @ new.T, hidden @ old.T, rtol=1e-3, atol=1e-4)
    columns = torch.cat(readers).abs().amax(0)
    s = reach**alpha / columns ** (1 - alpha)
    torch.testing.assert_close((x @ new_up.T).abs().amax(0), reach / s, rtol=1e-3, atol=1e-5)


def test_at_one_half_input_and_weight_reach_equally_far() -> None:
    x, weight = normal(50, 6, seed=1) * torch.tensor([100.0, 1, 1, 1, 1, 0.01]), normal(4, 6, seed=2)
    (norm,), (reader,) = smooth([torch.ones(6)], [weight], x.abs().amax(0))
    torch.testing.assert_close((x * norm).abs().amax(0), reader.abs().amax(0), rtol=1e-4, atol=1e-5)


@given(SEEDS, st.booleans())
def test_the_integer_product_is_near_the_float_one(seed: int, per_token: bool) -> None:
    x, weight = normal(5, 40, seed=seed), normal(6, 40, seed=seed + 1)
    product = w8a8_linear(x, weight, None if per_token else x.abs().max().item())
    assert (product - x @ weight.T).square().mean() < 1e-3 * (x @ weight.T).square().mean()


def test_a_token_has_no_say_in_the_grid_of_another() -> None:
    x, weight = normal(3, 16, seed=4), normal(4, 16, seed=5)
    larger = torch.cat([x[:2], 1000 * x[2:]])
    torch.testing.assert_close(w8a8_linear(larger, weight)[:2], w8a8_linear(x, weight)[:2])
    assert not torch.equal(w8a8_linear(larger, weight, 3000.0)[:2], w8a8_linear(x, weight)[:2])


@given(SEEDS, st.integers(2, 8))
def test_a_cached_number_moves_by_half_a_step_of_its_grid(seed: int, bits: int) -> None:
    keys, values = normal(2, 3, 7, 5, seed=seed), normal(2, 3, 7, 5, seed=seed + 1)
    for x, restored, dimension in zip(
        (keys, values), quantize_kv(keys, values, bits=bits), (-2, -1), strict=True
    ):
        low = x.amin(dimension, keepdim=True).clamp(max=0)
        step = (x.amax(dimension, keepdim=True).clamp(min=0) - low) / (2**bits - 1)
        assert ((restored - x).abs() <= step * 1.001 + 1e-6).all()


def test_a_large_key_channel_leaves_the_others_alone() -> None:
    keys = normal(1, 1, 20, 4, seed=6)
    large = keys * torch.tensor([1000.0, 1, 1, 1])
    torch.testing.assert_close(quantize_kv(large, keys)[0][..., 1:], quantize_kv(keys, keys)[0][..., 1:])
