"""The measured checks of Lab 3.1."""

import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labkit import compat, data, evaluation, onnx_graph, ops, zoo
from reference_impl.measured import Measured, entry, mean
from reference_impl.quantization.adaround import adaround
from reference_impl.quantization.affine import affine_qparams, dequantize, quantize
from reference_impl.quantization.dynamic import DynamicQuantLinear
from reference_impl.quantization.metrics import sqnr_db
from reference_impl.quantization.observers import MSEObserver
from reference_impl.quantization.onnx_export import nodes_to_exclude, quantize_onnx

LAYERS = 13
"""Half of the classifier's 26 linear layers, drawn by the seed."""


def _draw(names: list[str], count: int, generator: torch.Generator) -> list[str]:
    return [names[index] for index in torch.randperm(len(names), generator=generator)[:count]]


def weight_grids(generator: torch.Generator) -> Measured:
    """Notebook 01: per-channel against per-tensor grids of the classifier's weights at 8 bits."""
    weights = {name: layer.weight.detach() for name, layer in ops.linear_layers(zoo.load("bert")).items()}
    ratios: dict[int | None, list[float]] = {None: [], 0: []}
    stored = original = 0
    for name in _draw(list(weights), LAYERS, generator):
        weight = weights[name]
        for axis, values in ratios.items():
            scale, zero_point = affine_qparams(weight, axis=axis)
            codes = quantize(weight, scale, zero_point, axis=axis)
            values.append(sqnr_db(weight, dequantize(codes, scale, zero_point, axis=axis)))
        stored += codes.numel() + 4 * scale.numel()
        original += 4 * weight.numel()
    per_tensor, per_channel = mean(ratios[None]), mean(ratios[0])
    return {
        "gain of per-channel grids": entry(per_channel - per_tensor, 0.0, 2.5, unit="dB"),
        "ratio of per-channel grids": entry(per_channel, per_tensor, 42.0, unit="dB"),
        "times smaller, scales counted": entry(original / stored, 1.0, 3.6),
    }


def activation_ranges(generator: torch.Generator) -> Measured:
    """Notebook 02: the range of least squared error against the full range at 4 bits."""
    model = zoo.load("bert")
    sentences = data.tensors(data.languages()["validation"])
    order = torch.randperm(len(sentences["labels"]), generator=generator)
    names = list(ops.linear_layers(model))
    seen = ops.layer_inputs(model, names, [{key: value[order[:64]] for key, value in sentences.items()}])
    fresh = ops.layer_inputs(model, names, [{key: value[order[64:192]] for key, value in sentences.items()}])
    gains = []
    for name in names:
        observer = MSEObserver(4)
        observer.observe(seen[name])
        full = seen[name].min().item(), seen[name].max().item()
        best, plain = (
            sqnr_db(fresh[name], ops.snap_between(fresh[name], *bounds, 4))
            for bounds in (observer.bounds(), full)
        )
        gains.append(best - plain)
    return {"gain over the full range at 4 bits": entry(mean(gains), 0.0, 2.5, unit="dB")}


def dynamic_layers(generator: torch.Generator) -> Measured:
    """Notebook 03: one scale a token against one for all, and against PyTorch's own layer.

    The baseline of the second is an input of six bits with one scale.
    """
    model = zoo.load("bert")
    linears = ops.linear_layers(model)
    sentences = data.tensors(data.languages()["validation"])
    rows = torch.randperm(len(sentences["labels"]), generator=generator)[:48]
    names = list(linears)
    seen = ops.layer_inputs(model, names, [{key: value[rows] for key, value in sentences.items()}])
    ratios: dict[str, list[float]] = {"token": [], "tensor": [], "torch": [], "six bits": []}
    for name in names:
        layer, x = linears[name], seen[name]
        weight = ops.snap(layer.weight.detach(), axis=0)
        with torch.no_grad():
            outputs = {
                "token": DynamicQuantLinear(layer)(x),
                "tensor": DynamicQuantLinear(layer, granularity="tensor")(x),
                "torch": compat.quantize_dynamic(nn.Sequential(layer))(x),
                "six bits": nn.functional.linear(ops.snap(x, 6), weight, layer.bias),
            }
            for key, output in outputs.items():
                ratios[key].append(sqnr_db(layer(x), output))
    average = {key: mean(values) for key, values in ratios.items()}
    return {
        "gain over one scale for all": entry(average["token"] - average["tensor"], 0.0, 1.5, unit="dB"),
        "distance to PyTorch's own layer": entry(
            average["token"] - average["torch"], average["six bits"] - average["torch"], -1.0, unit="dB"
        ),
    }


def learned_rounding(generator: torch.Generator) -> Measured:
    """Notebook 04: AdaRound's output error over that of rounding to nearest, on fresh sentences."""
    model = zoo.load("bert")
    linears = ops.linear_layers(model)
    sentences = data.tensors(data.languages()["validation"])
    order = torch.randperm(len(sentences["labels"]), generator=generator)
    learn, judge = (
        {key: sentences[key][part] for key in ("input_ids", "attention_mask")}
        for part in (order[:64], order[64:192])
    )
    names = [name for name in linears if name.endswith(("attention.output.dense", "attention.self.value"))]
    tokens = [
        (ops.layer_inputs(model, names, [rows]), rows["attention_mask"].flatten().bool())
        for rows in (learn, judge)
    ]
    ratios = []
    for name in names:
        weight = linears[name].weight.detach()
        scale = weight.abs().amax(1) / 3
        own, fresh = (inputs[name][mask] for inputs, mask in tokens)

        def error(
            codes: Tensor, weight: Tensor = weight, scale: Tensor = scale, fresh: Tensor = fresh
        ) -> float:
            return float(((weight - scale[:, None] * codes) @ fresh.T).square().sum())

        ratios.append(
            error(adaround(weight, scale, own, bits=3)) / error(torch.round(weight / scale[:, None]))
        )
    value = math.exp(mean([math.log(ratio) for ratio in ratios]))
    label = "output error over that of nearest, fresh sentences"
    return {label: entry(value, 1.0, 0.5, "at_most", scale="log")}


def onnx_files(generator: torch.Generator) -> Measured:
    """Notebook 04: size and accuracy of the ONNX files, against quantizing every operator."""
    model = zoo.load("bert", attention="eager")
    train = data.tensors(data.languages()["train"])
    drawn = torch.randperm(len(train["labels"]), generator=generator)[:64].split(16)
    batches = [{key: train[key][part] for key in ("input_ids", "attention_mask")} for part in drawn]
    validation = data.tensors(data.languages()["validation"])
    rows = torch.randperm(len(validation["labels"]), generator=generator)[:600]
    judge = {key: value[rows] for key, value in validation.items()}
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "float.onnx")
        compat.export_onnx(model, batches[0], source)
        wide = nodes_to_exclude(onnx_graph.nodes(source), onnx_graph.tensor_ranges(source, batches))
        options: dict[str, dict[str, Any]] = {
            "every": {},
            "excluded": {"exclude": wide},
            "matrices": {"op_types": ["MatMul", "Gemm", "Gather"]},
        }
        accuracy = {"float": evaluation.quality(evaluation.onnx_entry(source).model, judge)[1]}
        size = {"float": Path(source).stat().st_size}
        for name, how in options.items():
            target = Path(folder) / f"{name}.onnx"
            quantize_onnx(source, str(target), batches, **how)
            accuracy[name] = evaluation.quality(evaluation.onnx_entry(target).model, judge)[1]
            size[name] = target.stat().st_size
    kept = {name: value / accuracy["float"] for name, value in accuracy.items()}
    return {
        "share of the accuracy kept, every other operator quantized": entry(
            kept["excluded"], kept["every"], 0.97
        ),
        "share of the accuracy kept, all but the mask's path": entry(kept["excluded"], kept["every"], 0.97),
        "share of the accuracy kept, MatMul, Gemm and Gather": entry(kept["matrices"], kept["every"], 0.97),
        "times smaller, MatMul, Gemm and Gather": entry(
            size["float"] / size["matrices"], size["float"] / size["every"], 3.0, unit="x"
        ),
    }


def post_training_quantization(seed: int) -> Measured:
    """Every measured check of Lab 3.1 under one seed."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    result: Measured = {}
    for part in (weight_grids, activation_ranges, dynamic_layers, learned_rounding, onnx_files):
        result.update(part(generator))
    return result
