"""The figures of textbook chapter 3.2, drawn from the course's own models.

    python -m reference_impl.pruning.figures             # all of them, about three minutes of one core
    python -m reference_impl.pruning.figures curve       # one

writes `theory/figures/3.2-<name>.svg` and prints the numbers that the chapter quotes. `density` measures times, so its
picture differs from machine to machine.
"""

import copy
import math
import sys
from collections.abc import Callable

import torch
from labkit.plots import DescribedFigure
from torch import Tensor, nn

from labkit import compat, data, evaluation, ops, plots, training, zoo
from reference_impl.chapter_figures import draw
from reference_impl.pruning.masked_copy import masked_copy
from reference_impl.pruning.masks import global_mask, layer_mask
from reference_impl.pruning.sparsegpt import sparsegpt_prune
from reference_impl.pruning.wanda import input_norms, wanda_mask
from reference_impl.quantization.gptq import hessian

STEPS = 240


def curve() -> DescribedFigure:
    """Accuracy of the classifier against the share of its encoder that is removed."""
    model, rows = zoo.load("bert"), data.tensors(data.languages()["validation"])
    layers = ops.weight_layers(model, skip=("pooler", "classifier"))
    size = {name: layer.weight.detach().abs() for name, layer in layers.items()}
    chance = {name: torch.rand(part.shape) for name, part in size.items()}
    shares = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95]

    def accuracy(masks: dict[str, Tensor]) -> float:
        return evaluation.quality(masked_copy(model, masks), rows)[1]

    series = {
        "smallest, one budget": [accuracy(global_mask(size, share)) for share in shares],
        "smallest, each layer": [
            accuracy({name: layer_mask(part, share) for name, part in size.items()}) for share in shares
        ],
        "random": [
            accuracy({name: layer_mask(part, share) for name, part in chance.items()}) for share in shares
        ],
    }
    for label, values in series.items():
        print(
            f"{label:22s}",
            " ".join(f"{share:.0%}:{value:.3f}" for share, value in zip(shares, values, strict=True)),
        )
    return plots.lines(
        shares,
        series,
        x_label="share of encoder weights removed",
        y_label="validation accuracy",
        alt="Accuracy against the share of weights removed without training. Removing the smallest costs almost "
        "nothing up to 70 percent and then falls steeply; random removal falls from the beginning.",
    )


def trained(start: nn.Module, rows: dict[str, Tensor], first: int, stop: int, seed: int) -> nn.Module:
    """A copy after the steps first ... stop - 1 of a run of 240, with batches of rows in the order of `seed`."""
    network = copy.deepcopy(start)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    batches = training.batches(rows, 64, seed=seed)
    network.train()
    for step in range(first, stop):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / STEPS)
        optimizer.zero_grad()
        training.loss(network, next(batches)).backward()
        optimizer.step()
    return network.eval()


def connectivity() -> DescribedFigure:
    """Error along the line between two networks that share their first steps."""
    train, rows = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
    places = [index / 8 for index in range(9)]
    series = {}
    for label, starts, shared in (
        ("different initial weights", (0, 1), 0),
        ("same initial weights", (0, 0), 0),
        ("120 steps in common", (0, 0), 120),
    ):
        ends = []
        for seed, start in zip((1, 2), starts, strict=True):
            untrained = zoo.build("encoder", seed=start, num_layers=2, dropout=0.0)
            common = trained(untrained, train, 0, shared, seed=0)
            ends.append(trained(common, train, shared, STEPS, seed).state_dict())
        between, errors = zoo.build("encoder", num_layers=2, dropout=0.0).eval(), []
        for place in places:
            between.load_state_dict({key: torch.lerp(ends[0][key], ends[1][key], place) for key in ends[0]})
            errors.append(1 - evaluation.quality(between, rows)[1])
        series[label] = errors
        barrier = max(errors) - (errors[0] + errors[-1]) / 2
        print(f"{label:26s} ends {errors[0]:.3f} {errors[-1]:.3f}, barrier {barrier:.3f}")
    return plots.lines(
        places,
        series,
        x_label="place on the line from one network to the other",
        y_label="validation error",
        alt="Validation error along straight lines between pairs of trained networks. Different initial weights are "
        "separated by a high barrier; the same initial weights have almost none, with or without common steps.",
    )


def density() -> DescribedFigure:
    """How many times as fast as the dense product a CSR product is."""
    densities = [1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02]
    dense, series = torch.randn(1024, 1024), {}
    for columns in (1, 8, 64, 512):
        x, ratios = torch.randn(1024, columns), []
        for share in densities:
            matrix = dense * (torch.rand(1024, 1024) < share)
            sparse = compat.to_sparse_csr(matrix)
            times = evaluation.latencies(
                {"dense": lambda m=matrix, x=x: m @ x, "csr": lambda m=sparse, x=x: m @ x}, repeats=15
            )
            ratios.append(times["dense"].median / times["csr"].median)
        series[f"{columns} columns" if columns > 1 else "1 column"] = ratios
        print(
            f"{columns:4d} columns", " ".join(f"{d}:{r:.2f}" for d, r in zip(densities, ratios, strict=True))
        )
    figure = plots.lines(
        densities,
        series,
        x_label="density (share of weights that stay)",
        y_label="dense time / CSR time",
        log_y=True,
        alt="Speed of a CSR product over the dense one against density, for 1, 8, 64 and 512 columns. Every "
        "curve rises as the matrix gets emptier; the more columns, the emptier it must be to reach 1.",
    )
    figure.axes[0].axhline(1.0, color="black", linewidth=0.8)
    return figure


def compensation() -> DescribedFigure:
    """Relative output error of a pruned layer of Llama under three methods."""
    name = "model.layers.1.mlp.down_proj"
    model = zoo.load("llama")
    tokens = data.tensors(data.prose()["train"], limit=48)["input_ids"]
    inputs = ops.layer_inputs(model, [name], [{"input_ids": tokens}])[name]
    held = ops.layer_inputs(
        model, [name], [{"input_ids": data.tensors(data.prose()["validation"], limit=16)["input_ids"]}]
    )[name].double()
    weight = model.get_submodule(name).weight.detach()
    curvature = hessian([inputs])
    norms = input_norms(inputs.double()).float()
    shares = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]

    def error(changed: Tensor) -> float:
        difference = (changed.double() - weight.double()) @ held.T
        return float(difference.square().sum() / (weight.double() @ held.T).square().sum())

    series = {
        "magnitude": [error(weight * wanda_mask(weight, torch.ones_like(norms), share)) for share in shares],
        "Wanda": [error(weight * wanda_mask(weight, norms, share)) for share in shares],
        "SparseGPT": [error(sparsegpt_prune(weight, curvature, share)["weight"]) for share in shares],
    }
    for label, values in series.items():
        print(
            f"{label:10s}",
            " ".join(f"{share:.0%}:{value:.4f}" for share, value in zip(shares, values, strict=True)),
        )
    return plots.lines(
        shares,
        series,
        x_label="share of the layer's weights removed",
        y_label="relative squared error of its output",
        log_y=True,
        alt="Relative squared output error of a pruned layer on a log scale. Wanda lies a quarter below magnitude; "
        "SparseGPT, which corrects the weights that stay, lies below both at every share.",
    )


def capacity() -> DescribedFigure:
    """Entropy of a mask: bits a weight that it takes to say which weights stay."""
    densities = [index / 40 for index in range(1, 40)]
    bits = [-d * math.log2(d) - (1 - d) * math.log2(1 - d) for d in densities]
    for share in (0.5, 0.1, 0.05):
        places = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
        print(
            f"density {share}: {places:.3f} bits a place, with 16-bit values {places + 16 * share:.2f} bits a weight"
        )
    return plots.lines(
        densities,
        {
            "which weights stay": bits,
            "bitmap": [1.0] * len(bits),
            "an int32 index a value": [32 * d for d in densities],
        },
        x_label="density (share of weights that stay)",
        y_label="bits a weight for the places",
        log_y=True,
        alt="Bits a weight needed for the places of kept weights against density. The entropy is below one bit "
        "everywhere and falls to 0.17 at a density of one fortieth; a bitmap is flat at one bit; int32 indices take 32 "
        "times the density.",
    )


FIGURES: dict[str, Callable[[], DescribedFigure]] = {
    made.__name__: made for made in (curve, connectivity, density, compensation, capacity)
}


if __name__ == "__main__":
    draw("3.2", FIGURES, sys.argv[1:])
