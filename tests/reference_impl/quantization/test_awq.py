"""AWQ: factors never hurt on their own data, and folding them changes nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import ops
from reference_impl.quantization.awq import (
    activation_scale,
    apply_scale,
    fold_value_scale,
    salient_channels,
    search_scale,
)
from tests.reference_impl.quantization.strategies import normal

SEEDS = st.integers(0, 999)


@given(SEEDS, st.integers(2, 4), st.sampled_from([4, 8, -1]))
def test_the_best_exponent_is_never_worse_than_nearest(seed: int, bits: int, size: int) -> None:
    weights = [normal(3, 8, seed=seed), normal(5, 8, seed=seed + 1)]
    inputs = normal(40, 8, seed=seed + 2) * (
        0.1 + 10 * torch.rand(8, generator=torch.Generator().manual_seed(seed))
    )
    found = search_scale(weights, inputs, bits=bits, group_size=size)
    losses = found["losses"]
    assert losses[round(20 * found["alpha"])] == losses.min() <= losses[0]
    nearest = sum((inputs @ (ops.snap_groups(w, bits, size) - w).T).square().mean() for w in weights)
    assert losses[0] == pytest.approx(nearest.item(), rel=1e-3)
    assert (found["scale"].max() * found["scale"].min()).item() == pytest.approx(1.0, rel=1e-4)


def test_a_busy_input_gets_a_large_factor() -> None:
    inputs = normal(200, 16, seed=1)
    inputs[:, 5] *= 30
    scale = search_scale([normal(4, 16, seed=2)], inputs, bits=3, group_size=16)["scale"]
    assert scale.argmax() == 5


@given(SEEDS, st.integers(1, 39))
def test_the_activation_scale_does_not_depend_on_the_split(seed: int, cut: int) -> None:
    x = normal(40, 6, seed=seed)
    torch.testing.assert_close(activation_scale([x[:cut], x[cut:]]), x.abs().mean(0))


@given(st.permutations(list(range(20))), st.floats(0, 1))
def test_salient_channels_are_the_largest(order: list[int], share: float) -> None:
    importance = torch.tensor(order, dtype=torch.float32)
    chosen = salient_channels(importance, share).tolist()
    count = max(1, round(share * 20))
    assert chosen == sorted(order.index(value) for value in range(20 - count, 20))


@given(SEEDS)
def test_folding_preserves_the_function(seed: int) -> None:
    x, up, bias = normal(6, 4, seed=seed), normal(5, 4, seed=seed + 1), normal(5, seed=seed + 2)
    readers = [normal(3, 5, seed=seed + 3), normal(5, 5, seed=seed + 4)]
    scale = normal(5, seed=seed + 5).exp()
    (new_up, new_bias), new_readers = apply_scale([up, bias], readers, scale)
    for old, new in zip(readers, new_readers, strict=True):
        torch.testing.assert_close(
            (x @ new_up.T + new_bias) @ new.T, (x @ up.T + bias) @ old.T, rtol=1e-3, atol=1e-4
        )


@given(st.sampled_from([(4, 2), (6, 2), (3, 1), (5, 5)]), st.integers(1, 4), SEEDS)
def test_grouped_heads_keep_their_function(heads: tuple[int, int], width: int, seed: int) -> None:
    query_heads, kv_heads = heads
    x, v, o = (
        normal(4, 3, seed=seed),
        normal(kv_heads * width, 3, seed=seed + 1),
        normal(2, query_heads * width, seed=seed + 2),
    )
    scale = normal(kv_heads * width, seed=seed + 3).exp()
    mixing = normal(query_heads, 4, 4, seed=seed + 4).softmax(-1)

    def block(values: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        per_head = (
            (x @ values.T).reshape(4, kv_heads, width).repeat_interleave(query_heads // kv_heads, dim=1)
        )
        return torch.einsum("hqk,khd->qhd", mixing, per_head).flatten(1) @ out.T

    folded = fold_value_scale(v, o, scale, query_heads=query_heads, kv_heads=kv_heads)
    torch.testing.assert_close(block(*folded), block(v, o), rtol=1e-3, atol=1e-4)


def test_heads_that_can_not_be_grouped_are_refused() -> None:
    with pytest.raises(ValueError, match="3 query heads can not share 2 KV heads"):
        fold_value_scale(torch.ones(4, 2), torch.ones(2, 6), torch.ones(4), query_heads=3, kv_heads=2)
