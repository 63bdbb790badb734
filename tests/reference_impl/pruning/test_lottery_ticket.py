"""Rewinding, the search for a ticket, and shuffled masks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.pruning.hidden_inputs_masks import SmallNet, pretended_training, recording_choice
from reference_impl.pruning.lottery_ticket import find_ticket, rewind, shuffled_masks

SHAPES = {"first.weight": (10, 6), "first.bias": (10,), "last.weight": (3, 10), "last.bias": (3,)}


def state(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}


@given(seed=st.integers(0, 999), density=st.floats(0, 1))
def test_rewinding_gives_the_kept_state_under_the_masks(seed: int, density: float) -> None:
    model, kept = SmallNet(state(seed)), state(seed + 1)
    mask = torch.rand(10, 6, generator=torch.Generator().manual_seed(seed)) < density
    rewind(model, kept, {"first": mask})
    assert torch.equal(model.first.weight, kept["first.weight"] * mask)
    for key in ("first.bias", "last.weight", "last.bias"):
        assert torch.equal(model.state_dict()[key], kept[key])
    assert torch.equal(kept["first.weight"], state(seed + 1)["first.weight"])


@pytest.mark.parametrize("rewind_step", [0, 5])
@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_each_round_prunes_what_is_left_and_returns_to_the_kept_state(rounds: int, rewind_step: int) -> None:
    runs: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    model = SmallNet(state(0))
    found = find_ticket(
        model, pretended_training(runs), recording_choice(asked), names=["first", "last"], sparsity=0.9, rounds=rounds,
        steps=20, rewind_step=rewind_step,
    )  # fmt: skip
    early = [[0, 5]] if rewind_step else []
    assert [run["steps"] for run in runs] == early + [[rewind_step, 20]] * rounds
    assert [call["share"] for call in asked] == pytest.approx(
        [1 - 0.1 ** (r / rounds) for r in range(1, rounds + 1)]
    )
    for run in runs[len(early) + 1 :]:
        for name, mask in run["masks"].items():
            assert torch.equal(run["state"][f"{name}.weight"], found["state"][f"{name}.weight"] * mask)
    if not rewind_step:
        assert all(torch.equal(found["state"][key], value) for key, value in state(0).items())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state(0).items())


def test_what_is_pruned_once_stays_pruned() -> None:
    masks: list[dict[str, torch.Tensor]] = []
    choose = recording_choice([])

    def keep(scores: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
        masks.append(choose(scores, share))
        return masks[-1]

    find_ticket(
        SmallNet(state(1)),
        pretended_training([]),
        keep,
        names=["first", "last"],
        sparsity=0.8,
        rounds=4,
        steps=9,
    )
    for before, after in itertools.pairwise(masks):
        assert all(not bool((after[name] & ~before[name]).any()) for name in before)


@given(seed=st.integers(0, 999), density=st.floats(0, 1))
def test_shuffled_masks_keep_counts_and_forget_places(seed: int, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = {
        "a": torch.rand(40, 30, generator=generator) < density,
        "b": torch.rand(7, generator=generator) < density,
    }
    shuffled = shuffled_masks(masks, seed)
    assert {name: int(mask.sum()) for name, mask in shuffled.items()} == {
        n: int(m.sum()) for n, m in masks.items()
    }
    assert all(torch.equal(mask, shuffled_masks(masks, seed)[name]) for name, mask in shuffled.items())
    share = masks["a"].double().mean().item()
    assert abs((shuffled["a"] & masks["a"]).double().mean().item() - share**2) < 0.05


def test_a_bias_of_a_masked_layer_is_kept() -> None:
    layer = nn.ModuleDict({"only": nn.Linear(2, 2)})
    kept = {"only.weight": torch.ones(2, 2), "only.bias": torch.ones(2)}
    rewind(layer, kept, {"only": torch.zeros(2, 2, dtype=torch.bool)})
    assert torch.equal(layer["only"].bias, torch.ones(2))
