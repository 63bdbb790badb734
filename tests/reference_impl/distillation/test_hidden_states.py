"""Matching hidden states."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labkit import zoo
from reference_impl.distillation.hidden_states import Projection, distill_hidden, hidden_loss, layer_map


def toy(seed: int, width: int, layers: int) -> nn.Module:
    """A GPT-2 small enough to train in a test, with dropout."""
    sizes = {"n_embd": width, "n_layer": layers, "n_head": 2, "vocab_size": 20, "n_positions": 8}
    return zoo.build("gpt2", seed=seed, resid_pdrop=0.2, **sizes)


def rows() -> dict[str, torch.Tensor]:
    return {"input_ids": torch.randint(20, (32, 8), generator=torch.Generator().manual_seed(1))}


@given(st.integers(1, 40), st.integers(0, 40), st.sampled_from(["uniform", "last"]))
def test_a_map_rises_to_the_last_layer(own: int, more: int, scheme: str) -> None:
    indices = layer_map(own, own + more, scheme=scheme)
    assert len(indices) == own
    assert indices == sorted(set(indices))
    assert indices[0] >= 1 and indices[-1] == own + more


@pytest.mark.parametrize(("own", "deep", "scheme"), [(0, 3, "last"), (4, 3, "uniform"), (2, 3, "best")])
def test_a_map_that_can_not_be_is_refused(own: int, deep: int, scheme: str) -> None:
    with pytest.raises(ValueError):
        layer_map(own, deep, scheme=scheme)


def test_the_embeddings_are_not_projected() -> None:
    projection = Projection(3, 5, 2)
    states = [torch.randn(1, 2, 3) for _ in range(3)]
    made = projection(states)
    assert [state.shape for state in made] == [(1, 2, 5)] * 2
    torch.testing.assert_close(made[1], states[2] @ projection.maps[1].weight.T)
    with pytest.raises(ValueError):
        projection(states[1:])


@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_the_loss_is_relative_and_ignores_padding(seed: int, factor: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    own, goal = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    value = hidden_loss([own], [goal, goal], [1], mask)
    torch.testing.assert_close(hidden_loss([factor * own], [factor * goal], [0], mask), value)
    changed = own + 9 * (1 - mask)[..., None]
    torch.testing.assert_close(hidden_loss([changed], [goal], [0], mask), value)
    assert hidden_loss([goal], [goal], [0], mask).item() == 0
    torch.testing.assert_close(hidden_loss([0 * own], [goal], [0]), torch.ones((), dtype=torch.float64))


def test_the_distance_falls_and_the_teacher_stays() -> None:
    student, teacher, projection = toy(0, 8, 1), toy(1, 12, 3), Projection(8, 12, 1)
    teacher.train()
    before = copy.deepcopy(teacher.state_dict())
    history = distill_hidden(
        student, teacher, projection, rows(), weight=2.0, steps=40, batch=16, learning_rate=0.02
    )
    assert sorted(history) == ["hidden", "text"] and len(history["text"]) == 40
    assert history["hidden"][-1] < 0.7 * history["hidden"][0]
    assert not teacher.training and not student.training
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_without_weight_the_projection_stays() -> None:
    projection = Projection(8, 12, 1)
    before = copy.deepcopy(projection.state_dict())
    distill_hidden(toy(0, 8, 1), toy(1, 12, 3), projection, rows(), weight=0.0, steps=3, batch=16)
    assert all(torch.equal(value, before[key]) for key, value in projection.state_dict().items())
