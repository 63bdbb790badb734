"""What the parts of the sandwich rule are worth on a supernet of two layers, over three seeds.

    python -m reference_impl.pruning.calibration.search_rules                 # 5 minutes of one core

prints the table of training rules in the README of Lab 3.8: accuracies of three subnets on the validation pictures.
"""

from collections.abc import Callable

import torch
from torch import nn

from labkit import data, runtime
from reference_impl.measured import mean
from reference_impl.pruning.calibration.search import (
    LARGEST,
    SMALLEST,
    Batch,
    accuracy,
    sandwich,
    trained,
    whole_only,
)

MIDDLE: dict[str, list[int]] = {"heads": [2, 2], "ffn": [64, 64]}


def from_labels(network: nn.Module, batch: Batch, others: list[dict[str, list[int]]]) -> None:
    """The same subnets, but each learns from the labels."""
    for subnet in (LARGEST, SMALLEST, *others):
        nn.functional.cross_entropy(network(batch["pixel_values"], **subnet), batch["labels"]).backward()


def _distilled(network: nn.Module, batch: Batch, smaller: list[dict[str, list[int]]], still: bool) -> None:
    answers = network(batch["pixel_values"], **LARGEST)
    total = nn.functional.cross_entropy(answers, batch["labels"])
    target = torch.log_softmax(answers.detach() if still else answers, -1)
    for subnet in smaller:
        own = torch.log_softmax(network(batch["pixel_values"], **subnet), -1)
        total = total + nn.functional.kl_div(own, target, reduction="batchmean", log_target=True)
    total.backward()


def without_smallest(network: nn.Module, batch: Batch, others: list[dict[str, list[int]]]) -> None:
    """The largest and a random subnet: one edge of the sandwich is missing."""
    _distilled(network, batch, others, still=True)


def moving_target(network: nn.Module, batch: Batch, others: list[dict[str, list[int]]]) -> None:
    """The gradient of the divergence also reaches the largest subnet."""
    _distilled(network, batch, [SMALLEST, *others], still=False)


def main(report: Callable[[str], object] = print) -> None:
    """Print the table, a row as soon as it is measured."""
    runtime.start(seed=0)
    validation = data.tensors(data.fashion()["validation"])
    report("| rule | steps | largest | middle | smallest |\n|---|---|---|---|---|")
    for steps in (100, 400):
        for rule in (whole_only, sandwich, without_smallest, from_labels, moving_target):
            networks = [trained(rule, seed, steps) for seed in range(3)]
            cells = []
            for subnet in (LARGEST, MIDDLE, SMALLEST):
                found = [accuracy(network, subnet, validation) for network in networks]
                cells.append(f"{mean(found):.3f} ({min(found):.3f} to {max(found):.3f})")
            report(f"| {rule.__name__.replace('_', ' ')} | {steps} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
