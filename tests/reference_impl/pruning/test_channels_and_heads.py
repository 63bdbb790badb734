"""Structured pruning: channels, heads, and depth with both."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import evaluation, zoo
from reference_impl.pruning.channels import l1_channel_scores, prune_ffn, taylor_channel_scores
from reference_impl.pruning.depth import drop_layers
from reference_impl.pruning.heads import head_importance, prune_heads, select_heads
from reference_impl.pruning.slim import slim

PICTURES = {"pixel_values": torch.linspace(-1, 1, 3 * 784).reshape(3, 1, 28, 28)}
ATTENTIONS = [{part: f"vit.layers.{i}.attention.{part}_proj" for part in "qkvo"} for i in range(6)]
PAIRS = [(f"vit.layers.{i}.mlp.fc1", f"vit.layers.{i}.mlp.fc2") for i in range(6)]


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal float64 values from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def vit() -> Any:
    """The trained tiny ViT."""
    return zoo.load("vit").eval()


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(**PICTURES).logits


@given(st.integers(0, 200), st.floats(0.1, 10.0))
def test_l1_scores_are_norms(seed: int, factor: float) -> None:
    """Are they torch's 1-norms of the rows, and homogeneous?"""
    weight = normal(7, 4, seed=seed)
    torch.testing.assert_close(l1_channel_scores(weight), weight.norm(p=1, dim=1))
    torch.testing.assert_close(l1_channel_scores(-factor * weight), factor * l1_channel_scores(weight))
    with pytest.raises(ValueError, match="inner"):
        l1_channel_scores(weight[0])


@given(st.integers(0, 200))
def test_taylor_scores_are_the_first_order_change(seed: int) -> None:
    """Do they equal |dl/dgate| of a gate on each channel, a row an example?"""
    x, weight = normal(5, 3, 6, seed=seed), normal(6, 2, seed=seed + 1)
    x.requires_grad_(True)
    gate = torch.ones(5, 6, dtype=torch.float64, requires_grad=True)
    summed = torch.tanh((x * gate[:, None]) @ weight).square().sum()
    slope, by_gate = torch.autograd.grad(summed, [x, gate])
    torch.testing.assert_close(taylor_channel_scores(x.detach(), slope), by_gate.abs().mean(0))


@pytest.mark.parametrize("shapes", [((2, 3, 4), (1, 3, 4)), ((3, 4), (3, 4))])
def test_taylor_scores_refuse_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Are other shapes refused?"""
    with pytest.raises(ValueError, match="examples, tokens, inner"):
        taylor_channel_scores(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@settings(max_examples=10)
@given(st.integers(0, 100), st.integers(1, 256))
def test_a_removed_channel_is_a_silenced_one(seed: int, count: int) -> None:
    """Does the smaller ViT compute what the large one does with rows and biases zero?"""
    vit = zoo.load("vit").eval()
    order = torch.randperm(256, generator=torch.Generator().manual_seed(seed))[:count].tolist()
    masked = copy.deepcopy(vit)
    gone = [channel for channel in range(256) if channel not in order]
    for up, _ in PAIRS:
        layer = masked.get_submodule(up)
        layer.weight.data[gone], layer.bias.data[gone] = 0.0, 0.0
    small = prune_ffn(vit, PAIRS, [order] * 6)
    torch.testing.assert_close(logits(small), logits(masked), atol=1e-4, rtol=1e-4)
    assert evaluation.parameter_count(vit) - evaluation.parameter_count(small) == 6 * (256 - count) * 129


@pytest.mark.parametrize("keep", [[[]], [[1, 1]], [[256]], [[-1]], [[0], [0]]])
def test_prune_ffn_refuses(vit: Any, keep: list[list[int]]) -> None:
    """Are lists that are empty, repeat, or name what is not there refused?"""
    with pytest.raises(ValueError, match=r"channels|pairs"):
        prune_ffn(vit, PAIRS[:1], keep)


def test_importance_is_the_gate_s_slope(vit: Any) -> None:
    """Does it equal the mean size of a central difference, for one gate turned by hand?"""
    rows = {**PICTURES, "labels": torch.tensor([0, 3, 7])}
    found = head_importance(vit.double(), [block["o"] for block in ATTENTIONS], [double(rows)], 16)
    losses = []
    for factor in (1 + 1e-4, 1 - 1e-4):
        turned = copy.deepcopy(vit)
        turned.vit.layers[2].attention.o_proj.weight.data[:, 16:32] *= factor
        with torch.no_grad():
            answer = turned(pixel_values=double(rows)["pixel_values"]).logits
        losses.append(nn.functional.cross_entropy(answer, rows["labels"], reduction="none"))
    vit.float()
    assert float(found[2][1]) == pytest.approx(float(((losses[0] - losses[1]) / 2e-4).abs().mean()), rel=1e-3)
    assert all(parameter.grad is None for parameter in vit.parameters())


def double(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.double() if value.is_floating_point() else value for key, value in rows.items()}


@given(st.integers(0, 300), st.data())
def test_selected_heads(seed: int, draw: st.DataObject) -> None:
    """Are as many kept as asked, one at least in each layer, and no swap of free places better?"""
    scores = [normal(n, seed=seed + n).abs() for n in (4, 2, 3)]
    count = draw.draw(st.integers(3, 9))
    kept = select_heads(scores, count)
    assert sum(map(len, kept)) == count
    assert all(
        int(s.argmax()) in heads and heads == sorted(heads) for s, heads in zip(scores, kept, strict=True)
    )
    left = [
        float(s[h]) for s, heads in zip(scores, kept, strict=True) for h in range(len(s)) if h not in heads
    ]
    free = [float(s[h]) for s, heads in zip(scores, kept, strict=True) for h in heads if h != int(s.argmax())]
    assert not left or not free or max(left) <= min(free)
    with pytest.raises(ValueError, match="can stay"):
        select_heads(scores, 10)


@settings(max_examples=10)
@given(st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=6, max_size=6))
def test_a_removed_head_is_a_gated_one(keep: list[set[int]]) -> None:
    """Does the ViT with fewer heads compute what the large one does with their columns zero?"""
    vit = zoo.load("vit").eval()
    gated = copy.deepcopy(vit)
    for layer, heads in zip(gated.vit.layers, keep, strict=True):
        for head in set(range(4)) - heads:
            layer.attention.o_proj.weight.data[:, 16 * head : 16 * head + 16] = 0.0
    small = prune_heads(vit, ATTENTIONS, [list(heads) for heads in keep], 16)
    torch.testing.assert_close(logits(small), logits(gated), atol=1e-4, rtol=1e-4)
    assert [layer.attention.num_attention_heads for layer in small.vit.layers] == [
        len(heads) for heads in keep
    ]


def test_grouped_attention_is_refused() -> None:
    """Is the Llama, whose keys are fewer than its queries, refused?"""
    names = {part: f"model.layers.0.self_attn.{part}_proj" for part in "qkvo"}
    with pytest.raises(ValueError, match="different numbers"):
        prune_heads(zoo.load("llama"), [names], [[0]], 32)


def test_slim_is_the_three_prunings_in_a_row(vit: Any) -> None:
    """Does it equal dropping layers, pruning heads and pruning channels one after the other?"""
    heads, channels = [[2, 0], [1], [0, 1, 2, 3]], [[5, 9, 1], list(range(128)), [255]]
    small = slim(vit, [0, 2, 3], heads, channels)
    other = drop_layers(vit, "vit.layers", [1, 4, 5])
    other = prune_ffn(prune_heads(other, ATTENTIONS[:3], heads, 16), PAIRS[:3], channels)
    torch.testing.assert_close(logits(small), logits(other))
    assert {key: value.shape for key, value in small.state_dict().items()} == {
        key: value.shape for key, value in other.state_dict().items()
    }
    assert vit.config.num_hidden_layers == 6


@pytest.mark.parametrize(
    ("layers", "heads", "channels"),
    [
        ([1, 0], [[0]] * 2, [[0]] * 2),
        ([0], [[4]], [[0]]),
        ([0], [[0]], [[]]),
        ([], [], []),
        ([6], [[0]], [[0]]),
    ],
)
def test_slim_refuses(vit: Any, layers: list[int], heads: list[list[int]], channels: list[list[int]]) -> None:
    """Are impossible requests refused?"""
    with pytest.raises(ValueError, match=r"needed|need|ascending"):
        slim(vit, layers, heads, channels)
