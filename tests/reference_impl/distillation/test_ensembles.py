"""Answers of several teachers, their weights and the loss."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import zoo
from reference_impl.distillation.ensembles import (
    combine_probabilities,
    confidence_weights,
    multi_teacher_loss,
    teacher_logits,
)
from reference_impl.distillation.temperature import kd_loss

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(2, 8))


def drawn(seed: int, size: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, teachers, classes) and weights (n, teachers)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, generator=generator, dtype=torch.float64)
    return logits, torch.rand(size[:2], generator=generator, dtype=torch.float64).softmax(dim=1)


@given(st.integers(0, 2**31), SIZES, st.floats(0.3, 8))
def test_a_combination_is_a_distribution_whatever_the_order(
    seed: int, size: tuple[int, int, int], temperature: float
) -> None:
    logits, weights = drawn(seed, size)
    combined = combine_probabilities(logits, weights, temperature)
    torch.testing.assert_close(combined.sum(dim=-1), torch.ones(size[0], dtype=torch.float64))
    turned = torch.randperm(size[1], generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        combine_probabilities(logits[:, turned], weights[:, turned], temperature), combined
    )


@given(st.integers(0, 2**31), SIZES)
def test_the_loss_of_the_mean_is_at_most_the_mean_loss(seed: int, size: tuple[int, int, int]) -> None:
    logits, weights = drawn(seed, size)
    each = -logits.log_softmax(dim=-1)[..., 0]
    together = -combine_probabilities(logits, weights)[:, 0].log()
    assert bool((together <= (weights * each).sum(dim=1) + 1e-12).all())


@given(st.integers(0, 2**31), SIZES, st.floats(0, 30))
def test_weights_sum_to_one_and_fall_with_doubt(
    seed: int, size: tuple[int, int, int], sharpness: float
) -> None:
    logits, _ = drawn(seed, size)
    weights = confidence_weights(logits, sharpness)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(size[0], dtype=torch.float64))
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    surest = entropy.argmin(dim=1, keepdim=True)
    assert bool((weights.gather(1, surest) >= weights.amax(dim=1, keepdim=True) - 1e-12).all())


def test_no_sharpness_no_difference_and_no_nan() -> None:
    logits = torch.tensor([[[900.0, 0, 0], [0, 0, 0]]])
    torch.testing.assert_close(confidence_weights(logits, 0.0), torch.tensor([[0.5, 0.5]]))
    assert bool(confidence_weights(logits, 4.0).isfinite().all())


@given(st.integers(0, 2**31), SIZES, st.floats(0.5, 6))
def test_equal_teachers_are_one_teacher(seed: int, size: tuple[int, int, int], temperature: float) -> None:
    logits, weights = drawn(seed, size)
    student = torch.randn(
        size[0], size[2], generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    copies = logits[:, :1].expand_as(logits)
    torch.testing.assert_close(
        multi_teacher_loss(student, copies, weights, temperature),
        kd_loss(student, logits[:, 0], temperature),
        atol=1e-7,
        rtol=1e-6,
    )


def test_teachers_are_asked_in_eval_mode_and_left_as_they_were() -> None:
    pictures = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    sizes = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    teachers = [zoo.build("vit", seed=seed, hidden_dropout_prob=0.5, **sizes) for seed in range(2)]
    teachers[1].eval()
    first, again = (teacher_logits(teachers, pictures, batch=size) for size in (2, 5))
    torch.testing.assert_close(first, again)
    assert first.shape == (5, 2, 10) and not first.requires_grad
    assert [teacher.training for teacher in teachers] == [True, False]
