"""What saliency at initialization is worth on the course's Vision Transformer, over three seeds.

    python -m reference_impl.pruning.calibration.gradient_promises                 # 10 minutes of one core

prints a Markdown table of validation accuracy after 100 steps, mean and range over seeds, and the number of matrices
that a mask emptied.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from labkit import data, evaluation, ops, runtime, training, zoo
from reference_impl.measured import mean
from reference_impl.pruning.grasp import grasp_scores
from reference_impl.pruning.snip import iterative_snip, snip_mask, snip_scores

SEEDS = (0, 1, 2)
STEPS = 100
SPARSITIES = (0.9, 0.95, 0.98)
Masks = dict[str, Tensor]


def untrained(seed: int) -> nn.Module:
    """The Vision Transformer of notebooks 01 and 02 before training."""
    return zoo.build("vit", seed=seed, attention="eager", num_hidden_layers=3)


def drawn(rows: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random pictures of the training split with their labels."""
    train = data.tensors(data.fashion()["train"])
    index = torch.randperm(len(train["labels"]), generator=generator)[:rows]
    return {key: value[index] for key, value in train.items()}


def all_masks(network: nn.Module, seed: int, sparsity: float) -> dict[str, Masks]:
    """Every mask of the table, of one untrained network."""
    generator = torch.Generator().manual_seed(seed)
    names = [f"{name}.weight" for name in ops.weight_layers(network, skip=("classifier",))]
    weights = {name: network.get_parameter(name) for name in names}
    batch = drawn(512, generator)
    slopes = dict(
        zip(names, torch.autograd.grad(training.loss(network, batch), list(weights.values())), strict=True)
    )
    grasp = {t: grasp_scores(network, [batch], names, temperature=t) for t in (1.0, 200.0)}
    keep: dict[str, Callable[[str], Tensor]] = {
        "random": lambda name: torch.rand(weights[name].shape, generator=generator),
        "size of the weights": lambda name: weights[name].detach().abs(),
        "gradient alone": lambda name: slopes[name].abs(),
        "GraSP, T = 1": lambda name: -grasp[1.0][name],
        "GraSP, T = 200": lambda name: -grasp[200.0][name],
        "GraSP reversed, T = 200": lambda name: grasp[200.0][name],
    }
    masks = {kind: snip_mask({name: score(name) for name in names}, sparsity) for kind, score in keep.items()}
    masks["SNIP"] = snip_mask(snip_scores(network, [batch], names), sparsity)
    masks["SNIP, five rounds"] = iterative_snip(network, [batch], names, sparsity)
    return masks


def trained_accuracy(masks: Masks, seed: int) -> float:
    """Validation accuracy of the seed's network, trained under the masks."""
    network = untrained(seed)
    for name, mask in masks.items():
        prune.custom_from_mask(network.get_submodule(name.removesuffix(".weight")), "weight", mask)
    train, validation = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
    training.fit(network, train, steps=STEPS, learning_rate=2e-3, batch=64, seed=seed)
    return evaluation.quality(network, validation)[1]


def main(report: Callable[[str], object] = print) -> None:
    """Print the table, a row as soon as it is measured."""
    runtime.start(seed=0)
    dense = [trained_accuracy({}, seed) for seed in SEEDS]
    report(f"all weights: {mean(dense):.3f} ({min(dense):.3f} to {max(dense):.3f})")
    for sparsity in SPARSITIES:
        report(f"| {sparsity:.0%} removed | accuracy | range | empty matrices |")
        report("|---|---|---|---|")
        found = [all_masks(untrained(seed), seed, sparsity) for seed in SEEDS]
        for kind in found[0]:
            values = [trained_accuracy(masks[kind], seed) for masks, seed in zip(found, SEEDS, strict=True)]
            empty = [sum(int(mask.sum() == 0) for mask in masks[kind].values()) for masks in found]
            spread = f"{min(values):.3f} to {max(values):.3f}"
            report(f"| {kind} | {mean(values):.3f} | {spread} | {', '.join(map(str, empty))} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
