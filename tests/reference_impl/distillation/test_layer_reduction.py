"""Fewer layers, in one step or in several."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import evaluation, zoo
from reference_impl.distillation.hidden_inputs_progressive import LayeredNet, layered_state
from reference_impl.distillation.layer_reduction import copy_layers, progressive_distill, shrink_schedule

ROWS = {"input_ids": torch.randint(11, (40, 6), generator=torch.Generator().manual_seed(2))}


@given(st.data())
def test_a_schedule_is_nested_and_falls(data: st.DataObject) -> None:
    layers = data.draw(st.integers(2, 40))
    target = data.draw(st.integers(1, layers - 1))
    stages = data.draw(st.integers(1, layers - target))
    schedule = [list(range(layers)), *shrink_schedule(layers, target, stages)]
    assert len(schedule) == stages + 1 and len(schedule[-1]) == target and schedule[-1][0] == 0
    cuts = []
    for before, after in pairwise(schedule):
        assert set(after) < set(before) and after == sorted(after)
        cuts.append(len(before) - len(after))
    assert max(cuts) - min(cuts) <= 1
    assert schedule[-1] == shrink_schedule(layers, target, 1)[0]


@pytest.mark.parametrize(("layers", "target", "stages"), [(4, 4, 1), (4, 0, 1), (4, 2, 3), (4, 2, 0)])
def test_an_impossible_schedule_is_refused(layers: int, target: int, stages: int) -> None:
    with pytest.raises(ValueError, match="can not become"):
        shrink_schedule(layers, target, stages)


@given(
    st.lists(st.integers(0, 11), min_size=1, max_size=5), st.lists(st.integers(0, 4), min_size=1, max_size=4)
)
def test_copies_of_copies(first: list[int], second: list[int]) -> None:
    second = [place % len(first) for place in second]
    state = layered_state(12, torch.Generator().manual_seed(1))
    twice = copy_layers(copy_layers(state, first), second)
    once = copy_layers(state, [first[place] for place in second])
    assert twice.keys() == once.keys()
    assert all(torch.equal(twice[key], value) for key, value in once.items())


def test_all_layers_of_a_llama_are_the_llama() -> None:
    model = zoo.build("llama", num_hidden_layers=3, hidden_size=16, intermediate_size=24).eval()
    other = zoo.build("llama", seed=5, num_hidden_layers=3, hidden_size=16, intermediate_size=24).eval()
    other.load_state_dict(copy_layers(model.state_dict(), [0, 1, 2]))
    rows = {"input_ids": torch.arange(2, 14).view(2, 6)}
    torch.testing.assert_close(evaluation.logits(other, rows), evaluation.logits(model, rows))


def teacher() -> LayeredNet:
    made = LayeredNet(5)
    made.load_state_dict(layered_state(5, torch.Generator().manual_seed(3)))
    return made.train()


def test_without_steps_stages_do_not_matter() -> None:
    staged = progressive_distill(teacher(), LayeredNet, [[0, 1, 3, 4], [1, 3], [3]], ROWS, [0, 0, 0], batch=8)
    direct = progressive_distill(teacher(), LayeredNet, [[3]], ROWS, [0], batch=8)
    for key, value in direct[-1].state_dict().items():
        assert torch.equal(staged[-1].state_dict()[key], value)


def test_a_stage_starts_where_the_one_before_ended() -> None:
    guide = teacher()
    before = {key: value.clone() for key, value in guide.state_dict().items()}
    students = progressive_distill(
        guide, LayeredNet, [[0, 2, 4], [0, 4]], ROWS, [5, 0], batch=8, learning_rate=0.02
    )
    first, second = (student.state_dict() for student in students)
    assert not torch.equal(first["model.layers.0.weight"], before["model.layers.0.weight"])
    assert torch.equal(second["model.layers.0.weight"], first["model.layers.0.weight"])
    assert torch.equal(second["model.layers.1.weight"], first["model.layers.2.weight"])
    assert torch.equal(second["lm_head.weight"], first["lm_head.weight"])
    assert all(torch.equal(value, before[key]) for key, value in guide.state_dict().items())
    assert not any(model.training for model in (guide, *students))
