"""SNIP and GraSP against central differences, and their masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import training
from reference_impl.pruning.grasp import grasp_mask, grasp_scores, hessian_gradient_product
from reference_impl.pruning.snip import iterative_snip, snip_mask, snip_scores

NAMES = ["0.weight", "2.weight"]


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def rows(seed: int, count: int = 20) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    return {"input": torch.randn(count, 5, generator=generator).double(), "labels": labels}


def split(batch: dict[str, Tensor], sizes: list[int]) -> list[dict[str, Tensor]]:
    parts = {key: value.split(sizes) for key, value in batch.items()}
    return [{key: parts[key][i] for key in parts} for i in range(len(sizes))]


def gates(net: nn.Module, name: str, measure, step: float = 1e-5) -> Tensor:
    """The slope of `measure` in a gate on each weight of one parameter."""
    weight = net.get_parameter(name).data.view(-1)
    slopes = []
    for j in range(len(weight)):
        kept = weight[j].item()
        sides = []
        for gate in (1 + step, 1 - step):
            weight[j] = kept * gate
            sides.append(measure())
        weight[j] = kept
        slopes.append((sides[0] - sides[1]) / (2 * step))
    return torch.tensor(slopes).reshape(net.get_parameter(name).shape)


@given(st.integers(0, 999))
@settings(max_examples=10)
def test_snip_is_the_slope_of_a_gate(seed: int) -> None:
    net, batch = network(seed), rows(seed)
    slopes = {name: gates(net, name, lambda: training.loss(net, batch).item()).abs() for name in NAMES}
    total = sum(slope.sum() for slope in slopes.values())
    scores = snip_scores(net, split(batch, [11, 6, 3]), NAMES)
    for name in NAMES:
        torch.testing.assert_close(scores[name], slopes[name].double() / total, rtol=0, atol=1e-7)


@given(st.integers(0, 999), st.sampled_from([1.0, 5.0, 200.0]))
@settings(max_examples=10)
def test_grasp_is_the_slope_of_the_squared_gradient_in_a_gate(seed: int, temperature: float) -> None:
    net, batch = network(seed), rows(seed)

    def half_square() -> float:
        logits = net(batch["input"]) / temperature
        weights = [net.get_parameter(name) for name in NAMES]
        slopes = torch.autograd.grad(nn.functional.cross_entropy(logits, batch["labels"]), weights)
        return 0.5 * sum(slope.square().sum().item() for slope in slopes)

    scores = grasp_scores(net, split(batch, [9, 11]), NAMES, temperature=temperature)
    for name in NAMES:
        expected = -gates(net, name, half_square, 1e-4).double()
        torch.testing.assert_close(scores[name], expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


@given(st.integers(0, 999), st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=15)
def test_products_and_scores_do_not_depend_on_the_split(seed: int, sizes: list[int]) -> None:
    net, batch = network(seed), rows(seed, sum(sizes))
    for function in (snip_scores, hessian_gradient_product, grasp_scores):
        whole, parts = function(net, [batch], NAMES), function(net, split(batch, sizes), NAMES)
        for name in NAMES:
            scale = float(whole[name].abs().max())
            torch.testing.assert_close(parts[name], whole[name], rtol=1e-6, atol=1e-9 * scale)


@given(st.integers(0, 999), st.floats(0, 1))
def test_masks_keep_the_right_number_and_order(seed: int, sparsity: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {"a": torch.randn(3, 7, generator=generator), "b": torch.randn(11, generator=generator)}
    for make, sign in ((snip_mask, 1), (grasp_mask, -1)):
        masks = make(scores, sparsity)
        kept = torch.cat([sign * scores[name][masks[name] > 0] for name in scores])
        gone = torch.cat([sign * scores[name][masks[name] == 0] for name in scores])
        assert len(gone) == round(sparsity * 32)
        assert not len(gone) or not len(kept) or kept.min() >= gone.max()


@given(st.integers(0, 999), st.floats(0.0, 0.95), st.integers(1, 6))
@settings(max_examples=15)
def test_rounds_end_at_the_sparsity_and_leave_the_model_alone(
    seed: int, sparsity: float, rounds: int
) -> None:
    net, batch = network(seed), rows(seed)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    masks = iterative_snip(net, [batch], NAMES, sparsity, rounds=rounds)
    assert sum(int(mask.sum()) for mask in masks.values()) == 48 - round((1 - (1 - sparsity)) * 48)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())


def test_one_round_is_snip() -> None:
    net, batch = network(3), rows(3)
    one = iterative_snip(net, [batch], NAMES, 0.75, rounds=1)
    other = snip_mask(snip_scores(net, [batch], NAMES), 0.75)
    assert all(torch.equal(one[name], other[name]) for name in NAMES)


def test_modes_gradients_and_errors() -> None:
    net = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), nn.Linear(6, 3)).double().train()
    for function in (snip_scores, grasp_scores):
        first, second = (function(net, [rows(1)], NAMES) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in NAMES)
    assert net.training and all(parameter.grad is None for parameter in net.parameters())
    with pytest.raises(ValueError, match="no batches"):
        snip_scores(net, [], NAMES)
    for make in (snip_mask, grasp_mask):
        with pytest.raises(ValueError, match="sparsity"):
            make({"a": torch.ones(3)}, 1.5)


def test_scores_of_a_silent_network_are_zero() -> None:
    net = network(1)
    net[2].weight.data.zero_()
    net[0].weight.data.zero_()
    assert all((score == 0).all() for score in snip_scores(net, [rows(1)], NAMES).values())
