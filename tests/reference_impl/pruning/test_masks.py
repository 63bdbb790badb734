"""Magnitude scores, sparsity, and masks with an exact budget."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from labkit import ops, zoo
from reference_impl.pruning.magnitude import magnitude_scores, sparsity
from reference_impl.pruning.masks import global_mask, layer_mask

shares = st.floats(0, 1)
seeds = st.integers(0, 9999)


def numbers(shape: tuple[int, ...], seed: int, levels: int) -> Tensor:
    """Scores with `levels` different values: few levels give many ties."""
    return torch.randint(levels, shape, generator=torch.Generator().manual_seed(seed)).float()


@given(
    rows=st.integers(1, 12), columns=st.integers(1, 12), share=shares, seed=seeds, levels=st.integers(1, 200)
)
def test_a_layer_mask_removes_an_exact_count_of_the_smallest(
    rows: int, columns: int, share: float, seed: int, levels: int
) -> None:
    scores = numbers((rows, columns), seed, levels)
    mask = layer_mask(scores, share)
    assert int((~mask).sum()) == round(share * rows * columns)
    if mask.any() and not mask.all():
        assert scores[~mask].max() <= scores[mask].min()
    tied = scores.flatten()[~mask.flatten()].max() if not mask.all() else torch.tensor(-1.0)
    at_border = mask.flatten()[scores.flatten() == tied].int()
    assert at_border.diff().min() >= 0 if len(at_border) > 1 else True  # the earlier entries went first


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=shares,
    seed=seeds,
    levels=st.integers(1, 200),
)
def test_a_global_mask_is_a_layer_mask_of_all_entries_joined(
    sizes: list[int], share: float, seed: int, levels: int
) -> None:
    scores = {str(index): numbers((size, 2), seed + index, levels) for index, size in enumerate(sizes)}
    joined = torch.cat([part.flatten() for part in scores.values()])
    masks = global_mask(scores, share)
    assert torch.equal(torch.cat([mask.flatten() for mask in masks.values()]), layer_mask(joined, share))
    assert [mask.shape for mask in masks.values()] == [part.shape for part in scores.values()]


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_is_between_zero_and_one(share: float) -> None:
    for call in (lambda: layer_mask(torch.ones(3), share), lambda: global_mask({"a": torch.ones(3)}, share)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


def test_torch_prunes_the_same_entries_where_no_score_occurs_twice() -> None:
    model = zoo.build("bert", seed=3)
    names = list(ops.linear_layers(model, skip=("pooler", "classifier")))
    layers = [(model.get_submodule(name), "weight") for name in names]
    masks = global_mask(
        {name: layer.weight.detach().abs() for name, (layer, _) in zip(names, layers, strict=True)}, 0.6
    )
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=0.6)
    different = sum(
        int((layer.weight_mask.bool() != masks[name]).sum())
        for name, (layer, _) in zip(names, layers, strict=True)
    )
    assert different <= 2  # float32 draws may tie at the border


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "vit"])
def test_scores_are_of_the_layers_that_multiply_by_a_matrix(name: str) -> None:
    model = zoo.load(name)
    scores = magnitude_scores(model)
    assert list(scores) == list(ops.weight_layers(model))
    for layer, part in scores.items():
        weight = model.get_submodule(layer).weight.detach()
        assert torch.equal(part, weight.abs()) and part.data_ptr() != weight.data_ptr()


def test_equal_numbers_are_not_a_tied_head() -> None:
    model = nn.Module()
    model.words, model.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    model.head.weight.data = model.words.weight.data.clone()
    assert list(magnitude_scores(model)) == ["head"]
    model.head.weight = model.words.weight
    assert magnitude_scores(model) == {}


@given(share=shares, seed=seeds)
def test_sparsity_is_what_a_mask_removed(share: float, seed: int) -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4))
    scores = {name: torch.rand(model.get_submodule(name).weight.shape) + 0.1 for name in ("0", "2")}
    pruned = copy.deepcopy(model)
    for name, mask in global_mask(scores, share).items():
        weight = pruned.get_submodule(name).weight
        weight.data = torch.where(mask, torch.ones(()), torch.zeros(()))
    assert sparsity(pruned, ["0", "2"]) == pytest.approx(round(share * 55) / 55)


def test_the_sparsity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="name at least one layer"):
        sparsity(nn.Linear(2, 2), [])
