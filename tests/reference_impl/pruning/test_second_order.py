"""Taylor, OBD, OBS and WoodFisher against quadratic losses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.pruning.obd import obd_scores
from reference_impl.pruning.obs import obs_prune
from reference_impl.pruning.taylor import taylor_scores
from reference_impl.pruning.woodfisher import woodfisher_inverse


def quadratic(seed: int, count: int) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3 * count, count, generator=generator, dtype=torch.float64)
    h = mix.T @ mix / count + 0.1 * torch.eye(count, dtype=torch.float64)
    return torch.randn(count, generator=generator), h, generator


@given(st.integers(0, 999), st.integers(1, 12))
def test_obs_predicts_the_rise_and_leaves_no_slope(seed: int, count: int) -> None:
    weight, h, generator = quadratic(seed, count)
    removed = torch.rand(count, generator=generator) < 0.5
    parts = obs_prune(weight, torch.linalg.inv(h), removed)
    step = parts["weight"] - weight.double()
    assert (parts["weight"][removed] == 0).all()
    torch.testing.assert_close(parts["loss"], 0.5 * step @ h @ step, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(
        (h @ step)[~removed], torch.zeros(int((~removed).sum())).double(), rtol=0, atol=1e-8
    )


@given(st.integers(0, 999))
def test_obs_for_one_weight_is_the_formula_of_1993(seed: int) -> None:
    weight, h, _ = quadratic(seed, 7)
    inverse, removed = torch.linalg.inv(h), torch.arange(7) == 2
    parts = obs_prune(weight, inverse, removed)
    torch.testing.assert_close(parts["loss"], weight[2].double() ** 2 / (2 * inverse[2, 2]))
    moved = weight.double() - weight[2].double() / inverse[2, 2] * inverse[:, 2]
    torch.testing.assert_close(parts["weight"][~removed], moved[~removed])


@given(st.integers(0, 999))
def test_obd_is_exact_without_coupling(seed: int) -> None:
    weight, _, generator = quadratic(seed, 6)
    diagonal = 0.1 + torch.rand(6, generator=generator)
    rows = torch.diag((6 * diagonal).sqrt())
    torch.testing.assert_close(obd_scores(weight, torch.cat([rows, -rows])), 0.5 * diagonal * weight**2)


@given(st.integers(0, 999))
def test_taylor_bounds_the_mean_product(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, gradients = torch.randn(3, 4, generator=generator), torch.randn(9, 3, 4, generator=generator)
    scores = taylor_scores(weight, gradients)
    assert (scores >= (weight * gradients.mean(0)).abs() - 1e-6).all()
    torch.testing.assert_close(scores, sum((weight * g).abs() for g in gradients) / 9)


def sherman_morrison(gradients: Tensor, damping: float) -> Tensor:
    """Equation 4 of the paper, an example at a time."""
    count, width = gradients.shape
    inverse = torch.eye(width, dtype=torch.float64) / damping
    for g in gradients.double():
        along = inverse @ g
        inverse = inverse - torch.outer(along, along) / (count + g @ along)
    return inverse


@given(st.integers(0, 999), st.integers(1, 30), st.sampled_from([1e-3, 1e-1, 1.0]))
@settings(max_examples=30)
def test_blocks_are_what_the_recursion_gives(seed: int, examples: int, damping: float) -> None:
    gradients = torch.randn(examples, 12, generator=torch.Generator().manual_seed(seed))
    blocks = woodfisher_inverse(gradients, block_size=4, damping=damping)
    for number, block in enumerate(blocks):
        expected = sherman_morrison(gradients[:, 4 * number : 4 * number + 4], damping)
        torch.testing.assert_close(block, expected, rtol=1e-6, atol=1e-8 / damping)


def test_blocks_must_divide_the_weights() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        woodfisher_inverse(torch.ones(2, 10), block_size=4)
