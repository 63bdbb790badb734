"""Softened distributions and the loss between two of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.distillation.temperature import entropy, kd_gradient, kd_loss, soften

temperatures = st.floats(0.3, 30)
seeds = st.integers(0, 2**31)


def pair(seed: int, batch: int = 5, classes: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, batch, classes, generator=generator, dtype=torch.float64)
    return 3 * student, 5 * teacher


@given(seeds, temperatures)
def test_softening_keeps_order_and_ratios(seed: int, temperature: float) -> None:
    logits, _ = pair(seed)
    softened = soften(logits, temperature)
    torch.testing.assert_close(softened.sum(-1), torch.ones(5, dtype=torch.float64))
    assert torch.equal(softened.argsort(-1), logits.argsort(-1))
    wanted = (logits[:, 0] - logits[:, 1]) / temperature
    torch.testing.assert_close((softened[:, 0] / softened[:, 1]).log(), wanted)


@pytest.mark.parametrize("temperature", [0, -1.0])
def test_softening_refuses_other_temperatures(temperature: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        soften(torch.zeros(2), temperature)


@given(seeds, temperatures, st.floats(1, 3))
def test_entropy_does_not_fall_with_the_temperature(seed: int, temperature: float, factor: float) -> None:
    logits, _ = pair(seed)
    cold, hot = (entropy(soften(logits, value)) for value in (temperature, temperature * factor))
    assert bool((hot >= cold - 1e-9).all())
    assert bool((hot <= math.log2(7) + 1e-9).all())


def test_entropy_of_known_distributions() -> None:
    rows = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    torch.testing.assert_close(entropy(rows), torch.tensor([0.0, 1.0, 2.0]))


@given(seeds, temperatures)
def test_the_loss_is_torchs_divergence(seed: int, temperature: float) -> None:
    student, teacher = pair(seed)
    wanted = nn.functional.kl_div(
        (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1), reduction="batchmean"
    )
    torch.testing.assert_close(kd_loss(student, teacher, temperature), temperature**2 * wanted)


@given(seeds, temperatures)
def test_equal_answers_cost_nothing(seed: int, temperature: float) -> None:
    _, teacher = pair(seed)
    shift = torch.arange(5, dtype=torch.float64)[:, None] - 2
    torch.testing.assert_close(
        kd_loss(teacher + shift, teacher, temperature), torch.tensor(0.0, dtype=torch.float64)
    )


@given(seeds, temperatures)
def test_the_gradient_is_that_of_the_loss(seed: int, temperature: float) -> None:
    student, teacher = pair(seed)
    student.requires_grad_()
    teacher.requires_grad_()
    kd_loss(student, teacher, temperature).backward()
    assert teacher.grad is None
    torch.testing.assert_close(kd_gradient(student.detach(), teacher.detach(), temperature), student.grad)


def test_the_gradient_goes_over_to_matching_logits() -> None:
    student, teacher = pair(0)
    difference = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    torch.testing.assert_close(kd_gradient(student, teacher, 1e5), difference / 5 / 7, atol=1e-4, rtol=0)


def test_the_loss_is_finite_where_probabilities_vanish() -> None:
    student, teacher = torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]])
    torch.testing.assert_close(kd_loss(student, teacher, 1.0), torch.tensor(400.0))
