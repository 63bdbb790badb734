"""Training on a teacher's answers."""

import copy
from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.distillation.response import distill, mixed_loss
from reference_impl.distillation.temperature import kd_gradient


class Net(nn.Module):
    """A classifier with what differs between train and eval mode: dropout and running statistics."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm, self.drop = nn.Linear(5, width), nn.BatchNorm1d(width), nn.Dropout(0.3)
        self.last = nn.Linear(width, 4)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        hidden = self.drop(self.norm(self.first(pixel_values)).relu())
        return SimpleNamespace(logits=self.last(hidden))


def rows(labelled: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(64) % 4
    labels[labelled:] = -100
    return {"pixel_values": torch.randn(64, 5, generator=generator), "labels": labels}


@given(st.integers(0, 2**31), st.floats(0.5, 8), st.floats(0, 1), st.integers(0, 6))
def test_the_gradient_of_the_mixed_loss(seed: int, temperature: float, alpha: float, known: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (6,), generator=generator)
    labels[known:] = -100
    student.requires_grad_()
    parts = mixed_loss(student, teacher, labels, temperature=temperature, alpha=alpha)
    torch.testing.assert_close(parts["total"], alpha * parts["soft"] + (1 - alpha) * parts["hard"])
    parts["total"].backward()
    wanted = alpha * kd_gradient(student.detach(), teacher, temperature)
    if known:
        hot = nn.functional.one_hot(labels[:known], 4)
        wanted[:known] += (1 - alpha) * (student.detach()[:known].softmax(-1) - hot) / known
    torch.testing.assert_close(student.grad, wanted)


def test_without_a_label_nothing_is_hard() -> None:
    parts = mixed_loss(
        torch.ones(2, 3), torch.zeros(2, 3), torch.tensor([-100, -100]), temperature=2, alpha=0.3
    )
    assert parts["hard"].item() == 0


def test_the_teacher_is_left_as_it_came() -> None:
    teacher, student = Net(16, 0), Net(6, 1)
    teacher.train()
    before = copy.deepcopy(teacher.state_dict())
    distill(student, teacher, rows(8), temperature=2.0, alpha=0.5, steps=5, batch=16)
    assert not teacher.training and not student.training
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_student_comes_near_its_teacher() -> None:
    teacher, student = Net(16, 0).eval(), Net(16, 1).eval()
    inputs = rows(0)

    def distance() -> float:
        with torch.no_grad():
            answers = (model(inputs["pixel_values"]).logits.softmax(-1) for model in (student, teacher))
            return float((next(answers) - next(answers)).abs().mean())

    before = distance()
    losses = distill(
        student, teacher, inputs, temperature=2.0, alpha=1.0, steps=60, batch=32, learning_rate=0.02
    )
    assert len(losses) == 60
    assert distance() < 0.5 * before


def test_equal_seeds_give_equal_students() -> None:
    made = []
    for _ in range(2):
        student = Net(6, 1)
        distill(student, Net(16, 0), rows(8), temperature=2.0, alpha=0.5, steps=4, batch=16, seed=3)
        made.append(student.state_dict())
    assert all(torch.equal(value, made[1][key]) for key, value in made[0].items())
