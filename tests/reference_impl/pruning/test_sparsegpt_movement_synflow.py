"""SparseGPT, movement scores and SynFlow against their identities."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.pruning.movement import movement_scores
from reference_impl.pruning.obs import obs_prune
from reference_impl.pruning.sparsegpt import sparsegpt_prune
from reference_impl.pruning.synflow import synflow_mask, synflow_scores
from reference_impl.quantization.hidden_inputs_groups import correlated_layer


def layer(seed: int, columns: int = 16) -> tuple[Tensor, Tensor]:
    weight, inputs = correlated_layer(columns, 80, torch.Generator().manual_seed(seed), outputs=4)
    return weight, 2 * inputs.double().T @ inputs.double() / 80


@given(st.integers(0, 999), st.floats(0, 1), st.integers(1, 20))
def test_sparsegpt_counts_its_loss_and_its_zeros(seed: int, sparsity: float, block: int) -> None:
    weight, h = layer(seed)
    parts = sparsegpt_prune(weight, h, sparsity, block_size=block)
    whole = h + 0.01 * h.diagonal().mean() * torch.eye(16, dtype=h.dtype)
    step = parts["weight"] - weight.double()
    torch.testing.assert_close(parts["loss"], ((step @ whole) * step).sum(1) / 2, rtol=1e-7, atol=1e-12)
    assert (parts["weight"][~parts["mask"]] == 0).all()
    counts = [int((~part).sum()) for part in parts["mask"].split(block, dim=1)]
    assert counts == [round(sparsity * part.numel()) for part in weight.split(block, dim=1)]


@given(st.integers(0, 999), st.floats(0.1, 0.9))
@settings(max_examples=30)
def test_no_weights_on_the_mask_beat_least_squares(seed: int, sparsity: float) -> None:
    weight, h = layer(seed)
    parts = sparsegpt_prune(weight, h, sparsity)
    whole = h + 0.01 * h.diagonal().mean() * torch.eye(16, dtype=h.dtype)
    for row in range(4):
        least = obs_prune(weight[row], torch.linalg.inv(whole), ~parts["mask"][row])["loss"]
        assert parts["loss"][row] >= least - 1e-10


def test_the_first_column_alone_is_the_optimal_brain_surgeon() -> None:
    weight, h = layer(3)
    weight[:, 0] = 1e-6 * weight[:, 0].sign()
    parts = sparsegpt_prune(weight[:1], h, 1 / 16, damping=0.0)
    expected = obs_prune(weight[0], torch.linalg.inv(h), torch.arange(16) == 0)
    torch.testing.assert_close(parts["weight"][0], expected["weight"])


@given(st.integers(0, 999), st.floats(0.01, 1.0))
@settings(max_examples=15)
def test_movement_is_half_the_change_of_the_squares_less_the_steps(seed: int, rate: float) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    batches = [{"input": torch.randn(6, 4).double(), "labels": torch.randint(0, 3, (6,))} for _ in range(3)]
    path = [net[0].weight.detach().clone()]
    for batch in batches:
        here = path[-1].clone().requires_grad_()
        value = nn.functional.cross_entropy(batch["input"] @ here.T, batch["labels"])
        path.append((here - rate * torch.autograd.grad(value, here)[0]).detach())
    steps = sum((b - a).square() for a, b in pairwise(path))
    expected = (path[-1].square() - path[0].square() - steps) / 2
    scores = movement_scores(net, batches, ["0.weight"], learning_rate=rate)
    torch.testing.assert_close(rate * scores["0.weight"], expected)
    assert torch.equal(net[0].weight, path[0])


def deep(seed: int, widths: tuple[int, ...]) -> tuple[nn.Sequential, list[str]]:
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs, bias=False), nn.ReLU()]
    return nn.Sequential(*parts[:-1]), [f"{2 * number}.weight" for number in range(len(widths) - 1)]


@given(st.integers(0, 999), st.lists(st.integers(2, 9), min_size=2, max_size=6))
@settings(max_examples=20)
def test_every_layer_carries_the_same_flow(seed: int, widths: list[int]) -> None:
    net, names = deep(seed, tuple(widths))
    row = torch.ones(widths[0], dtype=torch.float64)
    for name in names:
        row = net.get_parameter(name).detach().double().abs() @ row
    for score in synflow_scores(net, torch.randn(3, widths[0]), names).values():
        torch.testing.assert_close(score.sum(), row.sum(), rtol=1e-9, atol=0)


@given(st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.9, 0.95]))
@settings(max_examples=8)
def test_a_hundred_rounds_leave_a_way_through(seed: int, sparsity: float) -> None:
    net, names = deep(seed, (20, 12, 12, 12, 12, 5))
    masks = synflow_mask(net, torch.zeros(1, 20), names, sparsity)
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == total - round((1 - (1 - sparsity)) * total)
    row = torch.ones(20)
    for name in names:
        row = (net.get_parameter(name).detach().abs() * masks[name]) @ row
    assert row.sum() > 0


def test_one_round_can_cut_a_network_in_two() -> None:
    net, names = deep(0, (400, 8, 8, 8, 8, 8, 8, 5))
    masks = synflow_mask(net, torch.zeros(1, 400), names, 0.95, rounds=1)
    assert min(int(mask.sum()) for mask in masks.values()) == 0
