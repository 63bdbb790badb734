"""The measured checks of Lab 3.6: channels and heads by first-order scores, and a model pruned three ways."""

from functools import cache

import torch
from torch import Tensor, nn

from heldout import fashion
from labkit import data, evaluation, training, zoo
from reference_impl.measured import Measured, entry, mean
from reference_impl.pruning.channels import l1_channel_scores, prune_ffn, taylor_channel_scores
from reference_impl.pruning.heads import head_importance, prune_heads, select_heads
from reference_impl.pruning.slim import slim

PAIRS = [(f"vit.layers.{i}.mlp.fc1", f"vit.layers.{i}.mlp.fc2") for i in range(6)]
BLOCKS = [{part: f"vit.layers.{i}.attention.{part}_proj" for part in "qkvo"} for i in range(6)]
STEPS, RATE = 160, 2e-3
LOTS, DRAWS = 16, 8
"""Twelve heads by lot are averaged over so many draws, single ones lie between 0.34 and 0.69; and untrained models
over so many draws of the rows that they were chosen with."""


@cache
def classifier() -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor], float]:
    """The trained ViT, its training and test pictures, and its accuracy on the latter."""
    model, test = zoo.load("vit").eval(), data.tensors(fashion())
    return model, data.tensors(data.fashion()["train"]), test, evaluation.quality(model, test)[1]


def drawn_rows(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """So many training pictures, drawn without repetition."""
    train = classifier()[1]
    order = torch.randperm(len(train["labels"]), generator=generator)[:count]
    return {key: value[order] for key, value in train.items()}


def linear_weight(model: nn.Module, name: str) -> Tensor:
    """The weight of a linear layer by name."""
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer.weight


def channel_scores(model: nn.Module, rows: dict[str, Tensor]) -> list[Tensor]:
    """First-order scores of every feed-forward block's hidden channels."""
    caught: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(down).register_forward_pre_hook(
            lambda _, x, name=down: caught.update({name: x[0]})
        )
        for _, down in PAIRS
    ]
    summed = training.loss(model, rows) * len(rows["labels"])
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(summed, list(caught.values()))
    return [taylor_channel_scores(x, slope) for x, slope in zip(caught.values(), gradients, strict=True)]


def half_of_the_channels(generator: torch.Generator) -> Measured:
    """Notebook 01: the better half of each block's channels by first-order scores, against the largest weights."""
    model, _, test, _ = classifier()
    scores = channel_scores(model, drawn_rows(512, generator))
    sizes = [l1_channel_scores(linear_weight(model, up)) for up, _ in PAIRS]
    found, naive = (
        evaluation.quality(prune_ffn(model, PAIRS, [s.topk(128).indices.tolist() for s in chosen]), test)[1]
        for chosen in (scores, sizes)
    )
    return {"accuracy with half of the channels": entry(found, naive, 0.72)}


def half_of_the_heads(generator: torch.Generator) -> Measured:
    """Notebook 02: the twelve most important heads against the mean of many draws of twelve by lot."""
    model, _, test, _ = classifier()
    outputs = [block["o"] for block in BLOCKS]
    scores = head_importance(model, outputs, [drawn_rows(128, generator)], 16)

    def accuracy(chosen: list[Tensor]) -> float:
        smaller = prune_heads(model, BLOCKS, select_heads(chosen, 12), 16)
        return evaluation.quality(smaller, test)[1]

    lots = [[torch.rand(4, generator=generator) for _ in BLOCKS] for _ in range(LOTS)]
    return {
        "accuracy with half of the heads": entry(
            accuracy(scores), mean([accuracy(lot) for lot in lots]), 0.74
        )
    }


def shrunk(generator: torch.Generator, layers: int = 4, heads: int = 8, channels: int = 128) -> nn.Module:
    """The first layers, `heads` of their heads in all and `channels` channels each, by first-order scores."""
    model = classifier()[0]
    rows = drawn_rows(256, generator)
    outputs = [block["o"] for block in BLOCKS[:layers]]
    kept_heads = select_heads(head_importance(model, outputs, [rows], 16), heads)
    scores = channel_scores(model, rows)[:layers]
    return slim(model, list(range(layers)), kept_heads, [s.topk(channels).indices.tolist() for s in scores])


def slim_and_trained(generator: torch.Generator) -> Measured:
    """Notebook 04: four layers, half of the heads and channels, trained; baseline: not trained, or not removed."""
    model, train, test, dense = classifier()
    small = shrunk(generator)
    seed = int(torch.randint(1_000_000, (1,), generator=generator))
    untrained = [evaluation.quality(shrunk(generator), test)[1] / dense for _ in range(DRAWS)]
    training.fit(small, train, steps=STEPS, learning_rate=RATE, seed=seed)
    smaller = evaluation.parameter_count(model) / evaluation.parameter_count(small)
    return {
        "times fewer parameters": entry(smaller, 1.0, 2.5),
        "accuracy over the original's after training": entry(
            evaluation.quality(small, test)[1] / dense, mean(untrained), 0.95
        ),
    }


def structured_pruning(seed: int) -> Measured:
    """Every measured check of Lab 3.6 under one seed."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    result: Measured = {}
    for part in (half_of_the_channels, half_of_the_heads, slim_and_trained):
        result.update(part(generator))
    return result
