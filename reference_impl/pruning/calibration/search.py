"""The measured check of Lab 3.8: a small supernet trained by the sandwich rule."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from heldout import fashion
from labkit import data, training, zoo
from reference_impl.measured import Measured, entry
from reference_impl.pruning.search_space import random_subnet
from reference_impl.pruning.supernet import sandwich_step

SPACE: dict[str, Any] = {"layers": 2, "heads": [1, 2, 3, 4], "ffn": [32, 64, 128, 256]}
LARGEST: dict[str, list[int]] = {"heads": [4, 4], "ffn": [256, 256]}
SMALLEST: dict[str, list[int]] = {"heads": [1], "ffn": [32]}
STEPS, RATE = 150, 2e-3
Batch = dict[str, Tensor]
Rule = Callable[[nn.Module, Batch, list[dict[str, list[int]]]], object]


def accuracy(network: nn.Module, subnet: dict[str, list[int]], rows: Batch) -> float:
    """Share of rows that a subnet names correctly with the weights it has in the supernet."""
    with torch.no_grad():
        found = network(rows["pixel_values"], **subnet).argmax(-1)
    return (found == rows["labels"]).float().mean().item()


def trained(rule: Rule, seed: int, steps: int = STEPS) -> nn.Module:
    """A supernet of two layers after some steps of a rule that adds up gradients, as in notebook 01."""
    network = zoo.build("supernet", seed=seed, **LARGEST).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(seed)
    chosen = training.batches(data.tensors(data.fashion()["train"]), 64, seed=seed)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        rule(network, next(chosen), [random_subnet(SPACE, generator)])
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def whole_only(network: nn.Module, batch: Batch, others: list[dict[str, list[int]]]) -> None:
    """The naive rule: one network is trained, and the subnets are cut out of it afterwards."""
    training.loss(network, batch).backward()


def sandwich(network: nn.Module, batch: Batch, others: list[dict[str, list[int]]]) -> None:
    """The sandwich rule with in-place distillation."""
    sandwich_step(network, batch, SPACE, others)


def supernet_search(seed: int) -> Measured:
    """The measured check of the lab under one seed: a smallest subnet that was trained against one that was not."""
    unseen = data.tensors(fashion())
    reached = {
        rule: accuracy(trained(rule, 1000 + seed), SMALLEST, unseen) for rule in (sandwich, whole_only)
    }
    return {
        "accuracy of the smallest subnet after 150 sandwich steps": entry(
            reached[sandwich], reached[whole_only], 0.44
        )
    }
