"""The measured checks of Lab 3.7: saliency at initialization, second-order pruning and SparseGPT."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from heldout import fashion, prose
from labkit import data, evaluation, ops, training, zoo
from reference_impl.measured import Measured, entry, mean
from reference_impl.pruning.grasp import grasp_scores
from reference_impl.pruning.obd import obd_scores
from reference_impl.pruning.obs import obs_prune
from reference_impl.pruning.snip import snip_mask, snip_scores
from reference_impl.pruning.sparsegpt import sparsegpt_prune
from reference_impl.pruning.woodfisher import woodfisher_inverse
from reference_impl.quantization.gptq import hessian

LENET_NAMES = ["1.weight", "3.weight", "5.weight"]
LENET_SPARSITY, NETWORKS = 0.98, 4


def lenet(seed: int) -> nn.Module:
    """LeNet-300-100 of notebooks 01 and 02, before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
        )
        for name in LENET_NAMES:
            nn.init.kaiming_normal_(network.get_parameter(name))
    for bias in (network[1].bias, network[3].bias, network[5].bias):
        nn.init.zeros_(bias)
    return network


def flat_pictures(part: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows under the name that `nn.Sequential` takes."""
    return {"input": part["pixel_values"], "labels": part["labels"]}


def at_initialization(generator: torch.Generator) -> Measured:
    """Notebooks 01 and 02: SNIP and GraSP against random masks, after training, means over four networks."""
    train, test = flat_pictures(data.tensors(data.fashion()["train"])), flat_pictures(data.tensors(fashion()))
    reached: dict[str, list[float]] = {"SNIP": [], "GraSP": [], "chance": []}
    for seed in torch.randint(100, 10_000, (NETWORKS,), generator=generator).tolist():
        network = lenet(seed)
        index = torch.randperm(len(train["labels"]), generator=generator)[:512]
        batch = {key: value[index] for key, value in train.items()}
        scores = {
            "SNIP": snip_scores(network, [batch], LENET_NAMES),
            "GraSP": {n: -score for n, score in grasp_scores(network, [batch], LENET_NAMES).items()},
            "chance": {
                n: torch.rand(network.get_parameter(n).shape, generator=generator) for n in LENET_NAMES
            },
        }
        for kind, each in scores.items():
            pruned = lenet(seed)
            for name, mask in snip_mask(each, LENET_SPARSITY).items():
                prune.custom_from_mask(pruned.get_submodule(name.removesuffix(".weight")), "weight", mask)
            training.fit(pruned, train, steps=150, learning_rate=3e-3, batch=64, seed=seed)
            reached[kind].append(evaluation.quality(pruned, test)[1])
    return {
        f"mean accuracy of four networks pruned by {kind}": entry(
            mean(reached[kind]), mean(reached["chance"]), limit
        )
        for kind, limit in (("SNIP", 0.62), ("GraSP", 0.6))
    }


def example_gradients(
    network: nn.Module, pictures: Tensor, names: list[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """The gradient of each row's loss at temperature 2, with labels drawn from the network, as in notebook 03."""
    weights = [network.get_parameter(name) for name in names]
    kept: list[list[Tensor]] = [[] for _ in names]
    for picture in pictures:
        logits = network(pixel_values=picture[None]).logits / 2
        label = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
        slopes = torch.autograd.grad(nn.functional.cross_entropy(logits, label), weights)
        for part, slope in zip(kept, slopes, strict=True):
            part.append(slope)
    return {name: torch.stack(part) for name, part in zip(names, kept, strict=True)}


def second_order(generator: torch.Generator) -> Measured:
    """Notebook 03: OBD against the size of the weights, WoodFisher against its own mask without the update."""
    model, test = zoo.load("vit"), data.tensors(fashion())
    names = [f"{name}.weight" for name in ops.weight_layers(model, skip=("classifier",))]
    train = data.tensors(data.fashion()["train"])["pixel_values"]
    pictures = train[torch.randperm(len(train), generator=generator)[:256]]
    gradients = example_gradients(model, pictures, names, generator)
    weights = {name: model.get_parameter(name).detach() for name in names}
    blocks = {name: woodfisher_inverse(gradients[name].flatten(1)) for name in names}
    scores = {
        "size": {name: weight.abs() for name, weight in weights.items()},
        "OBD": {name: obd_scores(weight, gradients[name]) for name, weight in weights.items()},
        "mask": {
            name: weight.double() ** 2 / blocks[name].diagonal(dim1=1, dim2=2).reshape(weight.shape)
            for name, weight in weights.items()
        },
    }
    found = {}
    for kind in ("size", "OBD", "mask", "WoodFisher"):
        network = copy.deepcopy(model)
        for name, mask in snip_mask(scores["mask" if kind == "WoodFisher" else kind], 0.7).items():
            new = weights[name] * mask
            if kind == "WoodFisher":
                runs = zip(weights[name].view(-1, 64), blocks[name], mask.view(-1, 64) == 0, strict=True)
                new = torch.stack([obs_prune(*run)["weight"] for run in runs]).reshape(mask.shape).float()
            network.get_parameter(name).data = new
        found[kind] = evaluation.quality(network, test)[1]
    return {
        "accuracy at 70%, OBD": entry(found["OBD"], found["size"], 0.72),
        "accuracy at 70%, WoodFisher": entry(found["WoodFisher"], found["mask"], 0.77),
    }


def sparse_layers(generator: torch.Generator) -> Measured:
    """Notebook 04: SparseGPT against the smallest weights of each layer at 50%, by outputs on fresh text."""
    model = zoo.load("llama")
    names = list(ops.linear_layers(model, skip=("lm_head",)))
    texts = []
    for rows, count in ((data.prose()["train"], 16), (prose(), 32)):
        tokens = data.tensors(rows)["input_ids"]
        texts.append([{"input_ids": tokens[torch.randperm(len(tokens), generator=generator)[:count]]}])
    seen, fresh = (ops.layer_inputs(model, names, text) for text in texts)
    ratios: dict[str, list[float]] = {"update": [], "mask": []}
    for name in names:
        weight = model.get_submodule(name).weight.detach()
        parts = sparsegpt_prune(weight, hessian([seen[name]]), 0.5)
        by_size = weight * snip_mask({name: weight.abs()}, 0.5)[name]
        candidates = {"update": parts["weight"].float(), "mask": weight * parts["mask"], "size": by_size}
        errors = {
            kind: (fresh[name] @ (new - weight).T).square().sum().item() for kind, new in candidates.items()
        }
        for kind, found in ratios.items():
            found.append(errors[kind] / errors["size"])
    return {
        "mean output error of 28 layers over that of the smallest weights": entry(
            mean(ratios["update"]), mean(ratios["mask"]), 0.75, "at_most", scale="log"
        )
    }


def gradient_pruning(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    generator = torch.Generator().manual_seed(seed)
    return at_initialization(generator) | second_order(generator) | sparse_layers(generator)
