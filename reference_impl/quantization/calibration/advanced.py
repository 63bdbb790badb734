"""The measured checks of Lab 3.3: weights in groups, GPTQ, AWQ and SmoothQuant on the language model."""

import copy

import torch
from torch import Tensor

from heldout import prose
from labkit import data, evaluation, ops, zoo
from reference_impl.measured import Measured, entry, mean
from reference_impl.quantization.awq import activation_scale, apply_scale, salient_channels, search_scale
from reference_impl.quantization.gptq import gptq_quantize, hessian
from reference_impl.quantization.groupwise import dequantize_groupwise, quantize_groupwise
from reference_impl.quantization.hidden_inputs_groups import correlated_layer
from reference_impl.quantization.language_model import by_gptq, folded, in_eight_bits, rounded
from reference_impl.quantization.smoothquant import smooth

CALIBRATION_BLOCKS, JUDGED_BLOCKS = 16, 64


def texts(generator: torch.Generator) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Calibration text from the training split, and text of the test split to judge by."""
    train, test = (data.tensors(rows)["input_ids"] for rows in (data.prose()["train"], prose()))
    drawn = [
        rows[torch.randperm(len(rows), generator=generator)[:count]]
        for rows, count in ((train, CALIBRATION_BLOCKS), (test, JUDGED_BLOCKS))
    ]
    return [{"input_ids": drawn[0]}], {"input_ids": drawn[1]}


def groups(generator: torch.Generator) -> Measured:
    """Notebook 01: small groups against large ones at three bits. The baseline uses the large ones throughout."""
    model = zoo.load("llama")
    _, judged = texts(generator)
    found = {}
    for size in (128, 32):
        changed = copy.deepcopy(model)
        for layer in ops.linear_layers(changed, skip=("lm_head",)).values():
            parts = quantize_groupwise(layer.weight.detach(), bits=3, group_size=size)
            layer.weight.data = dequantize_groupwise(**parts)
        found[size] = evaluation.quality(changed, judged)[1]
    rough = torch.randn(16, 256, generator=generator)
    powers = [
        (dequantize_groupwise(**quantize_groupwise(rough, bits=4, group_size=size)) - rough)
        .square()
        .mean()
        .item()
        for size in (32, 128)
    ]
    over = {"direction": "at_most"}
    return {
        "error of groups of 32 over groups of 128": entry(powers[0] / powers[1], 1.0, 0.95, **over),
        "perplexity with groups of 32 over groups of 128 at three bits": entry(
            found[32] / found[128], 1.0, 0.98, **over
        ),
    }


def gptq(generator: torch.Generator) -> Measured:
    """Notebook 02: GPTQ against rounding to nearest, on a layer of its own and on the model."""
    result: Measured = {}
    for bits in (4, 3):
        weight, inputs = correlated_layer(128, 3000, generator)
        parts = gptq_quantize(weight, hessian([inputs[:2000]]), bits=bits)
        candidates = (
            dequantize_groupwise(parts["q"], parts["scale"], parts["zero"]),
            ops.snap_groups(weight, bits, -1),
        )
        errors = [((w - weight) @ inputs[2000:].T).square().sum().item() for w in candidates]
        label = f"output error over that of nearest on fresh inputs, {bits} bits"
        result[label] = entry(errors[0] / errors[1], 1.0, 0.9, "at_most", scale="log")
    model = zoo.load("llama-outliers")
    batches, judged = texts(generator)
    networks = model, by_gptq(model, batches, 3), rounded(model, 3, 128)
    exact, ours, nearest = (evaluation.quality(network, judged)[1] for network in networks)
    closed = (nearest - ours) / (nearest - exact)
    return result | {"share of the perplexity gap closed at three bits": entry(closed, 0.0, 0.25)}


def awq(generator: torch.Generator) -> Measured:
    """Notebook 03: salient channels against the ones with large weights, AWQ against rounding to nearest."""
    model = zoo.load("llama-outliers")
    batches, judged = texts(generator)
    layers = ops.linear_layers(model, skip=("lm_head",))
    removed: dict[str, list[float]] = {"activations": [], "weights": [], "chance": []}
    for name, inputs in ops.layer_inputs(model, list(layers), batches).items():
        weight = layers[name].weight.detach()
        noise = ops.snap_groups(weight, 3, 128) - weight
        whole = (inputs @ noise.T).square().sum().item()
        picked = salient_channels(activation_scale([inputs]), 0.05)
        choices = {"activations": [picked], "weights": [salient_channels(weight.abs().mean(0), 0.05)]}
        choices["chance"] = [
            torch.randperm(weight.shape[1], generator=generator)[: len(picked)] for _ in range(10)
        ]
        for label, sets in choices.items():
            left = [(inputs @ noise.index_fill(1, kept, 0.0).T).square().sum().item() for kept in sets]
            removed[label].append(1 - mean(left) / whole)
    share = {label: mean(values) for label, values in removed.items()}

    def scaled(
        producers: list[Tensor], readers: list[Tensor], inputs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        found = search_scale(readers, inputs[::4], bits=4, group_size=128)
        return apply_scale(producers, readers, found["scale"])

    networks = model, rounded(folded(model, batches, scaled), 4, 128), rounded(model, 4, 128)
    exact, ours, nearest = (evaluation.quality(network, judged)[1] for network in networks)
    return {
        "error removed by protecting 5% of the channels": entry(
            share["activations"] / share["chance"], share["weights"] / share["chance"], 3.0
        ),
        "perplexity at four bits over float32": entry(ours / exact, nearest / exact, 1.06, "at_most"),
    }


def smoothquant(generator: torch.Generator) -> Measured:
    """Notebook 04: eight bits after smoothing against eight bits as it is."""
    model = zoo.load("llama-outliers")
    batches, judged = texts(generator)
    smoothed = folded(model, batches, lambda made, read, inputs: smooth(made, read, inputs.abs().amax(0)))
    networks = model, in_eight_bits(smoothed, batches), in_eight_bits(model, batches)
    exact, ours, naive = (evaluation.quality(network, judged)[1] for network in networks)
    return {"perplexity in eight bits over float32": entry(ours / exact, naive / exact, 1.03, "at_most")}


def advanced_quantization(seed: int) -> Measured:
    """Every measured check of Lab 3.3 under one seed."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    result: Measured = {}
    for part in (groups, gptq, awq, smoothquant):
        result.update(part(generator))
    return result
