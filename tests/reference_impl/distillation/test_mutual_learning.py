"""Two students that learn from each other."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labkit import evaluation, zoo
from reference_impl.distillation.mutual_learning import agreement, dml_losses, mutual_train
from reference_impl.distillation.temperature import kd_gradient


def mini(width: int) -> nn.Module:
    """A vit of one layer."""
    sizes = {"hidden_size": width, "intermediate_size": width, "num_attention_heads": 2}
    return zoo.build("vit", seed=width, num_hidden_layers=1, **sizes)


@given(st.integers(0, 2**31), st.integers(0, 5))
def test_each_loss_moves_its_own_student_only(seed: int, known: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (5,), generator=generator)
    labels[known:] = -100
    leaves = [part.clone().requires_grad_() for part in pair]
    dml_losses(leaves[0], leaves[1], labels)[0].backward()
    wanted = kd_gradient(pair[0], pair[1], 1.0)
    if known:
        hot = nn.functional.one_hot(labels[:known], 4)
        wanted[:known] += (pair[0, :known].softmax(dim=-1) - hot) / known
    torch.testing.assert_close(leaves[0].grad, wanted)
    assert leaves[1].grad is None


@given(st.integers(0, 2**31))
def test_losses_are_symmetric(seed: int) -> None:
    first, second = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(5) % 4
    assert dml_losses(first, second, labels) == dml_losses(second, first, labels)[::-1]
    assert agreement(first, second) == agreement(second, first)
    assert agreement(first, 3 * first + 1) == 1.0


def test_training_together_brings_two_students_together() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = {
        "pixel_values": torch.randn(64, 1, 28, 28, generator=generator),
        "labels": torch.full((64,), -100),
    }

    def apart(pair: list[nn.Module]) -> float:
        one, other = (evaluation.logits(network.eval(), rows).softmax(dim=-1) for network in pair)
        return float((one - other).abs().mean())

    pair = [mini(8), mini(12)]
    before = apart(pair)
    history = mutual_train(pair[0], pair[1], rows, steps=30, batch=32, learning_rate=0.01)
    assert len(history) == 30 and apart(pair) < 0.3 * before


def test_neither_student_comes_first() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = {"pixel_values": torch.randn(32, 1, 28, 28, generator=generator), "labels": torch.arange(32) % 10}
    one, other = [mini(8), mini(12)], [mini(8), mini(12)]
    forward = mutual_train(one[0], one[1], rows, steps=5, batch=8, seed=2)
    backward = mutual_train(other[1], other[0], rows, steps=5, batch=8, seed=2)
    assert forward == [step[::-1] for step in backward]
