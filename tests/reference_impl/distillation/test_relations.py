"""Comparing relations in place of states."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.distillation.relations import linear_cka, minilm_relation, rkd_angle, rkd_distance

seeds = st.integers(0, 2**31)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(seed: int, width: int) -> torch.Tensor:
    return torch.linalg.qr(draw(seed, width, width))[0]


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle])
@given(seed=seeds, factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_rkd_does_not_see_a_similarity(loss, seed: int, factor: float, shift: float) -> None:
    points, other = draw(seed, 6, 4), draw(seed + 1, 6, 3)
    moved = factor * points @ turn(seed + 2, 4) + shift
    assert loss(moved, points).item() < 1e-12
    torch.testing.assert_close(loss(moved, other), loss(points, other))
    stretched = points * torch.tensor([9.0, 1, 1, 1], dtype=torch.float64)
    assert loss(stretched, points).item() > 1e-6


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle])
def test_equal_points_have_finite_gradients(loss) -> None:
    points = draw(0, 5, 3)
    points[2] = points[0]
    points.requires_grad_()
    loss(points, draw(1, 5, 4)).backward()
    assert points.grad is not None and points.grad.isfinite().all()


@given(seeds)
def test_minilm_sees_scale_and_no_rotation(seed: int) -> None:
    vectors, other = draw(seed, 2, 5, 4), draw(seed + 1, 2, 5, 6)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    value = minilm_relation(vectors, other, mask)
    torch.testing.assert_close(minilm_relation(vectors @ turn(seed + 2, 4), other, mask), value)
    torch.testing.assert_close(minilm_relation(vectors + 3 * (1 - mask)[..., None], other, mask), value)
    assert minilm_relation(2 * vectors, vectors, mask).item() > 0
    assert abs(minilm_relation(vectors, vectors, mask, heads=2).item()) < 1e-12


@given(seeds, st.floats(0.1, 10), st.booleans())
def test_cka_is_one_under_a_similarity(seed: int, factor: float, unbiased: bool) -> None:
    x = draw(seed, 60, 5) + 1
    like = factor * x @ turn(seed + 1, 5) - 3
    assert linear_cka(x, like, unbiased=unbiased) == pytest.approx(1)
    stretched = x * torch.tensor([30.0, 1, 1, 1, 1], dtype=torch.float64)
    assert linear_cka(x, stretched, unbiased=unbiased) < 0.95
    assert linear_cka(x, like) == pytest.approx(linear_cka(like, x))


def test_the_unbiased_form_is_near_zero_for_unrelated_data() -> None:
    pairs = [(draw(seed, 32, 64), draw(seed + 500, 32, 64)) for seed in range(40)]
    plain, unbiased = (
        sum(linear_cka(x, y, unbiased=form) for x, y in pairs) / len(pairs) for form in (False, True)
    )
    assert plain > 0.6 and abs(unbiased) < 0.05
