"""Matching where a layer looks."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import zoo
from reference_impl.distillation.attention import (
    allowed_pairs,
    attention_kl,
    attention_map,
    attention_transfer,
)

seeds = st.integers(0, 2**31)
MASK = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_causal_and_real() -> None:
    pairs = allowed_pairs(MASK)
    assert pairs.dtype == torch.bool
    assert pairs[0].int().sum().item() == 6 and pairs[1].int().sum().item() == 6
    assert not pairs.triu(1).any() and not pairs[0, 3:].any() and not pairs[1, :, :2].any()


@given(seeds)
def test_rows_of_a_map_sum_to_one_or_nothing(seed: int) -> None:
    queries, keys = draw(seed, 2, 3, 2, 5, 4).unbind(0)
    pairs = allowed_pairs(MASK)
    made = attention_map(queries, keys, pairs)
    torch.testing.assert_close(made.sum(-1), pairs.any(-1)[:, None].double().expand(-1, 2, -1))
    assert not made[~pairs[:, None].expand_as(made)].any()


def test_a_map_is_that_of_transformers() -> None:
    model = zoo.build("gpt2", attention="eager", n_layer=1).eval()
    tokens, seen = torch.randint(2, 500, (2, 9)), []
    model.transformer.h[0].attn.c_attn.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        wanted = model(input_ids=tokens, output_attentions=True).attentions[0]
    queries, keys, _ = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in seen[0].chunk(3, -1))
    torch.testing.assert_close(attention_map(queries, keys, allowed_pairs(torch.ones_like(tokens))), wanted)


@given(seeds)
def test_the_divergence_is_zero_at_equal_maps_and_positive_elsewhere(seed: int) -> None:
    queries, keys = draw(seed, 2, 3, 2, 5, 4).unbind(0)
    pairs = allowed_pairs(MASK)
    one, two = attention_map(queries, keys, pairs), attention_map(keys, queries, pairs)
    assert abs(attention_kl(one, one, pairs).item()) < 1e-12
    assert attention_kl(one, two, pairs).item() > 0
    twice = one.repeat_interleave(2, dim=1)  # more heads with the same mean
    torch.testing.assert_close(attention_kl(twice, two, pairs), attention_kl(one, two, pairs))


@given(seeds, st.floats(0.01, 100))
def test_energy_maps_do_not_see_scale_rotation_or_padding(seed: int, factor: float) -> None:
    own, goal = draw(seed, 3, 5, 4), draw(seed + 1, 3, 5, 6)
    value = attention_transfer(own, goal, MASK)
    rotation, _ = torch.linalg.qr(draw(seed + 2, 4, 4))
    torch.testing.assert_close(attention_transfer(factor * own @ rotation, goal, MASK), value)
    torch.testing.assert_close(attention_transfer(own + 7 * (1 - MASK)[..., None], goal, MASK), value)
    assert 0 <= value.item() <= 2
