"""Structured pruning: costs, layers, what hangs together and the timing of pairs."""

import itertools
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import evaluation, zoo
from reference_impl.pruning.costs import block_macs, block_params, count_macs
from reference_impl.pruning.dependency import dependency_groups
from reference_impl.pruning.depth import block_influence, drop_layers, greedy_removal, layer_influences
from reference_impl.pruning.speedup import paired_speedup

PICTURES = {"pixel_values": torch.linspace(-1, 1, 3 * 784).reshape(3, 1, 28, 28)}


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal float64 values from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 20))
def test_costs_are_those_of_modules(width: int, attention: int, inner: int, tokens: int) -> None:
    """Do closed forms agree with modules, and the counter with torch's?"""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(width, attention) for _ in range(3))
            self.o, self.fc1, self.fc2 = (
                nn.Linear(attention, width),
                nn.Linear(width, inner),
                nn.Linear(inner, width),
            )
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm1(x)
            mixed = torch.softmax(self.q(y) @ self.k(y).transpose(-2, -1), -1) @ self.v(y)
            x = x + self.o(mixed)
            return x + self.fc2(torch.relu(self.fc1(self.norm2(x))))

    block = Block()
    assert block_params(width, attention, inner) == sum(p.numel() for p in block.parameters())
    x = {"x": torch.zeros(2, tokens, width)}
    assert count_macs(block, x, ["q"]) == 2 * block_macs(tokens, width, attention, inner)
    assert count_macs(block, x, ["q"]) == evaluation.macs(block, x)
    assert block.training


@pytest.mark.parametrize(
    ("name", "stem", "inputs"),
    [
        ("vit", "vit.layers.{}.attention.q_proj", PICTURES),
        (
            "bert",
            "bert.encoder.layer.{}.attention.self.query",
            {"input_ids": torch.ones(2, 9, dtype=torch.long)},
        ),
        ("llama", "model.layers.{}.self_attn.q_proj", {"input_ids": torch.ones(2, 9, dtype=torch.long)}),
    ],
)
def test_counter_agrees_on_the_zoo(name: str, stem: str, inputs: dict[str, Tensor]) -> None:
    """Does the hook counter find what torch's counter finds, up to the rotary table of the Llama?"""
    model = zoo.load(name)
    queries = [stem.format(i) for i in range(model.config.num_hidden_layers)]
    assert count_macs(model, inputs, queries) == pytest.approx(evaluation.macs(model, inputs), rel=1e-4)


@given(st.integers(0, 300), st.floats(0.01, 100.0))
def test_influence_ignores_lengths(seed: int, factor: float) -> None:
    """Is it 0 for a stretched stream, between 0 and 2, and that of torch's cosines?"""
    x, y = normal(2, 3, 5, seed=seed), normal(2, 3, 5, seed=seed + 1)
    assert block_influence(x, factor * x) == pytest.approx(0.0, abs=1e-9)
    assert 0 <= block_influence(x, y) <= 2
    assert block_influence(x, factor * y) == pytest.approx(
        1 - float(torch.cosine_similarity(x, y, -1).mean())
    )
    mask = torch.tensor([[1, 0, 1], [0, 0, 0]])
    assert block_influence(x, y, mask) == pytest.approx(block_influence(x[:1, [0, 2]], y[:1, [0, 2]]))
    with pytest.raises(ValueError, match="no real token"):
        block_influence(x, y, torch.zeros(2, 3))


def test_influences_ignore_padding_and_batches() -> None:
    """Are padding and the split into batches without effect?"""
    bert = zoo.load("bert").train()
    ids, mask = torch.randint(5, 900, (4, 12)), torch.ones(4, 12, dtype=torch.long)
    mask[1, 5:] = mask[3, 9:] = 0
    rows = {"input_ids": ids, "attention_mask": mask}
    split = [{key: value[part] for key, value in rows.items()} for part in (slice(0, 1), slice(1, 4))]
    whole = layer_influences(bert, "bert.encoder.layer", [rows])
    assert layer_influences(bert, "bert.encoder.layer", split) == pytest.approx(whole, rel=1e-5)
    ids[1, 5:] = 7
    assert layer_influences(bert, "bert.encoder.layer", [rows]) == pytest.approx(whole, rel=1e-5)
    assert bert.training


@pytest.mark.parametrize("drop", [[0], [3, 1], []])
def test_a_silent_block_can_go(drop: list[int]) -> None:
    """Are logits and influence those of a block that writes nothing, and the cache numbers renewed?"""
    llama = zoo.load("llama").eval()
    for place in drop:
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            llama.model.layers[place].get_submodule(name).weight.data.zero_()
    ids = {"input_ids": torch.arange(10).reshape(1, 10)}
    influences = layer_influences(llama, "model.layers", [ids])
    assert [influences[place] for place in drop] == pytest.approx([0.0] * len(drop), abs=1e-6)
    short = drop_layers(llama, "model.layers", drop)
    with torch.no_grad():
        torch.testing.assert_close(short(**ids).logits, llama(**ids).logits, atol=1e-4, rtol=1e-4)
    assert [layer.self_attn.layer_idx for layer in short.model.layers] == list(range(4 - len(drop)))
    assert (short.config.num_hidden_layers, llama.config.num_hidden_layers) == (4 - len(drop), 4)


@pytest.mark.parametrize("drop", [[6], [-1], [0, 0], [0, 1, 2, 3, 4, 5]])
def test_drop_layers_refuses(drop: list[int]) -> None:
    """Are impossible lists refused?"""
    with pytest.raises(ValueError, match="layers to drop"):
        drop_layers(zoo.load("vit"), "vit.layers", drop)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6, unique=True))
def test_greedy_removal_of_independent_layers(weights: list[float]) -> None:
    """With costs that add up, does it remove in the order of the costs, without a call too many?"""
    calls = itertools.count()

    def cost(kept: list[int]) -> float:
        next(calls)
        return sum(weight for place, weight in enumerate(weights) if place not in kept)

    count = len(weights)
    removed = greedy_removal(count, cost, count - 1)
    values = [weights[place] for place in removed]
    assert all(low <= high + 1e-9 for low, high in itertools.pairwise(values))
    assert next(calls) == count * (count + 1) // 2 - 1
    with pytest.raises(ValueError, match="can go"):
        greedy_removal(count, cost, count)


@given(st.integers(0, 500))
def test_groups_partition_the_sides(seed: int) -> None:
    """Is every side in one group, every edge inside one, and the order of edges without effect?"""
    generator = torch.Generator().manual_seed(seed)
    names = list("abcdefg")
    draw = torch.randint(0, 2, (7,), generator=generator).tolist()
    kinds = {name: ("linear", "elementwise")[kind] for name, kind in zip(names, draw, strict=True)}
    pairs = torch.randint(0, 7, (6, 2), generator=generator).tolist()
    edges = [(names[i], names[j]) for i, j in pairs]
    groups = dependency_groups(kinds, edges)
    assert sorted(side for group in groups for side in group) == sorted(
        f"{name}.{side}" for name in names for side in ("in", "out")
    )
    home = {side: place for place, group in enumerate(groups) for side in group}
    assert all(home[f"{first}.out"] == home[f"{second}.in"] for first, second in edges)
    assert all(home[f"{n}.in"] == home[f"{n}.out"] for n, kind in kinds.items() if kind == "elementwise")
    assert dependency_groups(kinds, edges[::-1]) == groups
    with pytest.raises(ValueError, match="unknown kinds"):
        dependency_groups(kinds, [("a", "z")])


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(1, 999)), min_size=1, max_size=9))
def test_speedup_on_a_fake_clock(pairs: list[tuple[int, int]]) -> None:
    """Is it the median of the pairs' ratios, with both medians in milliseconds?"""
    now = SimpleNamespace(time=0.0)
    durations = iter([1, 1, *itertools.chain(*pairs)])

    def call() -> None:
        now.time += next(durations)

    found = paired_speedup(call, call, repeats=len(pairs), warm_up=1, clock=lambda: now.time)
    assert found["speedup"] == pytest.approx(statistics.median(first / second for first, second in pairs))
    assert found["before"] == pytest.approx(1000 * statistics.median(first for first, _ in pairs))
    assert found["after"] == pytest.approx(1000 * statistics.median(second for _, second in pairs))
    with pytest.raises(ValueError, match="repeats"):
        paired_speedup(call, call, repeats=0)
