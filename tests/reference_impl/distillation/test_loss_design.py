"""The parts of the distillation loss."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.distillation.loss_design import dkd_loss, label_smoothing_loss, nckd, tckd
from reference_impl.distillation.temperature import kd_loss

seeds = st.integers(0, 2**31)
temperatures = st.floats(0.5, 10)


def example(seed: int, classes: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 3 * torch.randn(2, 8, classes, generator=generator, dtype=torch.float64)
    return student, teacher, torch.randint(classes, (8,), generator=generator)


@given(seeds, temperatures)
def test_the_parts_add_up_for_each_example(seed: int, temperature: float) -> None:
    student, teacher, labels = example(seed)
    p = (teacher / temperature).softmax(-1).gather(-1, labels[:, None])[:, 0]
    parts = tckd(student, teacher, labels, temperature) + (1 - p) * nckd(
        student, teacher, labels, temperature
    )
    for row in range(8):
        whole = kd_loss(student[row : row + 1], teacher[row : row + 1], temperature) / temperature**2
        torch.testing.assert_close(parts[row], whole)


@given(seeds, temperatures, st.floats(-5, 5))
def test_each_part_looks_away_from_the_other(seed: int, temperature: float, shift: float) -> None:
    student, teacher, labels = example(seed)
    moved = student.scatter_add(-1, labels[:, None], torch.full((8, 1), shift, dtype=torch.float64))
    torch.testing.assert_close(
        nckd(moved, teacher, labels, temperature), nckd(student, teacher, labels, temperature)
    )
    assert bool((tckd(student, teacher, labels, temperature) >= -1e-12).all())
    torch.testing.assert_close(
        tckd(teacher, teacher, labels, temperature), torch.zeros(8, dtype=torch.float64)
    )


def test_a_sure_teacher_gives_a_finite_loss() -> None:
    student, teacher = torch.tensor([[200.0, 0.0, 1.0]]), torch.tensor([[150.0, 2.0, 0.0]])
    labels = torch.tensor([0])
    assert bool(torch.isfinite(tckd(student, teacher, labels, 1.0)).all())
    student.requires_grad_()
    dkd_loss(student, teacher, labels, temperature=1.0, alpha=1.0, beta=2.0).backward()
    assert bool(torch.isfinite(student.grad).all())


@given(seeds, temperatures, st.floats(0, 4), st.floats(0, 8))
def test_decoupled_distillation_weighs_the_parts(
    seed: int, temperature: float, alpha: float, beta: float
) -> None:
    student, teacher, labels = example(seed)
    teacher.requires_grad_()
    student.requires_grad_()
    loss = dkd_loss(student, teacher, labels, temperature=temperature, alpha=alpha, beta=beta)
    mean = [part(student, teacher, labels, temperature).mean() for part in (tckd, nckd)]
    torch.testing.assert_close(loss, temperature**2 * (alpha * mean[0] + beta * mean[1]))
    loss.backward()
    assert teacher.grad is None


@given(seeds, st.floats(0, 1))
def test_smoothing_is_torchs(seed: int, epsilon: float) -> None:
    student, _, labels = example(seed)
    torch.testing.assert_close(
        label_smoothing_loss(student, labels, epsilon),
        nn.functional.cross_entropy(student, labels, label_smoothing=epsilon),
    )
