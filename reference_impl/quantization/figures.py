"""The figures of textbook chapter 3.1, drawn from the course's own models.

    python -m reference_impl.quantization.figures            # all of them, about two minutes of one core
    python -m reference_impl.quantization.figures bits       # one

writes `theory/figures/3.1-<name>.svg` and prints the numbers that the chapter quotes.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import torch
from labkit.plots import DescribedFigure
from torch import Tensor

from labkit import data, ops, plots, runtime, zoo
from reference_impl.quantization.gptq import gptq_quantize, hessian
from reference_impl.quantization.groupwise import dequantize_groupwise
from reference_impl.quantization.metrics import sqnr_db
from reference_impl.quantization.normal_float import nf4_codebook
from reference_impl.quantization.smoothquant import smooth

FOLDER = Path(__file__).resolve().parents[2] / "theory" / "figures"
BITS = list(range(2, 9))


def best_clipped(x: Tensor, bits: int) -> tuple[float, float]:
    """SQNR in dB with the symmetric range that gives the least squared error, and that range."""
    limits = torch.linspace(0.02, 1.0, 120) * x.abs().max()
    return max((sqnr_db(x, ops.snap(x, bits, limit=limit)), limit.item()) for limit in limits)


def inputs_of(name: str, layer: str, count: int = 16) -> Tensor:
    """What one layer of a language model is given on validation text, (rows, in)."""
    tokens = data.tensors(data.prose()["validation"], limit=count)["input_ids"]
    return ops.layer_inputs(zoo.load(name), [layer], [{"input_ids": tokens}])[layer]


def bits() -> DescribedFigure:
    """SQNR against bits: the rule of 6 dB a bit and where it holds."""
    generator = torch.Generator().manual_seed(0)
    uniform, normal = (
        torch.rand(50_000, generator=generator) * 2 - 1,
        torch.randn(50_000, generator=generator),
    )
    weight = zoo.load("llama").get_submodule("model.layers.1.mlp.gate_proj").weight.detach()
    series = {
        "uniform numbers": [sqnr_db(uniform, ops.snap(uniform, b)) for b in BITS],
        "normal, full range": [sqnr_db(normal, ops.snap(normal, b)) for b in BITS],
        "normal, best range": [best_clipped(normal, b)[0] for b in BITS],
        "a layer's weights, one grid": [sqnr_db(weight, ops.snap(weight, b)) for b in BITS],
        "the same, a grid a row": [sqnr_db(weight, ops.snap(weight, b, axis=0)) for b in BITS],
    }
    for label, values in series.items():
        print(f"{label:30s}", " ".join(f"{value:6.2f}" for value in values))
    return plots.lines(
        BITS,
        series,
        x_label="bits",
        y_label="SQNR (dB)",
        alt="Signal-to-quantization-noise ratio against bits. All curves rise by about 6 dB a bit and are "
        "nearly parallel; uniform numbers lie highest, normal numbers over their full range lowest.",
    )


def clipping() -> DescribedFigure:
    """Squared error against the range kept, split into clipping and rounding."""
    x = inputs_of("llama", "model.layers.1.mlp.down_proj").flatten()
    limits = [share * x.abs().max().item() for share in torch.linspace(0.03, 1.0, 50).tolist()]
    outside = [x.abs() > limit for limit in limits]
    series: dict[str, list[float]] = {
        "clipping": [],
        "rounding, 4 bits": [],
        "both, 4 bits": [],
        "both, 8 bits": [],
    }
    for limit, cut in zip(limits, outside, strict=True):
        four, eight = ((x - ops.snap(x, b, limit=limit)).square() for b in (4, 8))
        series["clipping"].append((x.abs() - limit).clamp(min=0).square().mean().item())
        series["rounding, 4 bits"].append(four[~cut].sum().item() / len(x))
        series["both, 4 bits"].append(four.mean().item())
        series["both, 8 bits"].append(eight.mean().item())
    for key in ("both, 4 bits", "both, 8 bits"):
        best = min(range(len(limits)), key=series[key].__getitem__)
        gain = 10 * math.log10(series[key][-1] / series[key][best])
        print(
            f"{key}: best at {limits[best] / limits[-1]:.2f} of the range, {gain:.1f} dB better than all of it"
        )
    return plots.lines(
        [limit / limits[-1] for limit in limits],
        series,
        x_label="share of the range that is kept",
        y_label="mean squared error",
        log_y=True,
        alt="Mean squared error of an activation against the share of its range that is kept, on a log "
        "scale. Clipping falls, rounding at four bits rises; their sum has its minimum near a quarter "
        "of the range at four bits and further right at eight.",
    )


def granularity() -> DescribedFigure:
    """SQNR of a weight under one asymmetric grid a tensor, a row, and a group."""
    layers = ops.linear_layers(zoo.load("llama"), skip=("lm_head",))
    rows: dict[str, list[float]] = {"one grid": [], "a grid a row": [], "groups of 32": []}
    for layer in layers.values():
        weight = layer.weight.detach()
        rows["one grid"].append(
            sqnr_db(weight, ops.snap_groups(weight.reshape(1, -1), 4, -1).reshape(weight.shape))
        )
        rows["a grid a row"].append(sqnr_db(weight, ops.snap_groups(weight, 4, -1)))
        rows["groups of 32"].append(sqnr_db(weight, ops.snap_groups(weight, 4, 32)))
    for label, values in rows.items():
        print(f"{label:14s} mean {sum(values) / len(values):.2f} dB")
    return plots.lines(
        list(range(len(layers))),
        rows,
        x_label="layer, from first to last",
        y_label="SQNR of the weights (dB)",
        alt="Signal-to-quantization-noise ratio of the weights of 28 layers at four bits. One grid for a "
        "layer lies lowest, a grid for each row higher, groups of 32 highest.",
    )


def compensation() -> DescribedFigure:
    """GPTQ's error over that of rounding to nearest, in the weights and in the outputs."""
    model = zoo.load("llama")
    names = list(ops.linear_layers(model, skip=("lm_head",)))
    train, fresh = (
        ops.layer_inputs(
            model, names, [{"input_ids": data.tensors(data.prose()[split], limit=16)["input_ids"]}]
        )
        for split in ("train", "validation")
    )
    series: dict[str, list[float]] = {"error of the weights": [], "error of the outputs": []}
    for name in names:
        weight = model.get_submodule(name).weight.detach()
        parts = gptq_quantize(weight, hessian([train[name]]), bits=3)
        ours = dequantize_groupwise(parts["q"], parts["scale"], parts["zero"])
        errors = [candidate - weight for candidate in (ours, ops.snap_groups(weight, 3, -1))]
        outputs = [(fresh[name] @ error.T).square().sum() for error in errors]
        series["error of the weights"].append((errors[0].square().sum() / errors[1].square().sum()).item())
        series["error of the outputs"].append((outputs[0] / outputs[1]).item())
    for label, values in series.items():
        print(f"{label}: mean {sum(values) / len(values):.2f}, {min(values):.2f} to {max(values):.2f}")
    return plots.lines(
        list(range(len(names))),
        series,
        x_label="layer, from first to last",
        y_label="GPTQ over nearest",
        alt="Ratio of GPTQ's squared error to that of rounding to nearest for 28 layers. The weights' "
        "ratio lies between 1.4 and 2, the outputs' ratio between 0.4 and 0.8.",
    )


def outliers() -> DescribedFigure:
    """Channel ranges of an input and of the weight that reads it, before and after smoothing."""
    layer = "model.layers.1.mlp.gate_proj"
    x = inputs_of("llama-outliers", layer)
    weight = zoo.load("llama-outliers").get_submodule(layer).weight.detach()
    (norm,), (reader,) = smooth([torch.ones(x.shape[1])], [weight], x.abs().amax(0))
    series = {}
    for label, inputs, read in (("before", x, weight), ("after", x * norm, reader)):
        for side, values in (("input", inputs), ("weight", read)):
            reach = values.abs().amax(0).sort(descending=True).values
            series[f"{side}, {label}"] = reach.tolist()
            print(f"{side}, {label}: largest {reach[0]:.2f}, median {reach.median():.2f}")
    return plots.lines(
        list(range(x.shape[1])),
        series,
        x_label="channel, each curve sorted",
        y_label="largest absolute value",
        log_y=True,
        alt="Largest absolute value of 128 channels, sorted, on a log scale. Before smoothing six "
        "channels of the input stand far above the rest; after it the curves of input and weight are "
        "flat and close together.",
    )


def levels() -> DescribedFigure:
    """Sixteen levels on a line: even, FP4 and NF4."""
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]  # E2M1
    sets = {
        "INT4": [code / 7 for code in range(-7, 8)],
        "FP4 (E2M1)": sorted({sign * value / 6 for value in positive for sign in (-1, 1)}),
        "NF4": nf4_codebook().tolist(),
    }
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(2_000, 64, generator=generator)
    scaled = normal / normal.abs().amax(1, keepdim=True)
    made, axes = plots.figure(
        alt="The levels of three 4-bit formats between -1 and 1. INT4's are evenly spaced, FP4's lie "
        "closer together near 0 in three different spacings, NF4's grow apart smoothly from 0 "
        "outwards.",
        height=1.9,
    )
    for height, (label, values) in enumerate(sets.items()):
        axes.plot(values, [height] * len(values), "|", markersize=18, color=plots.SHADES[height])
        points = torch.tensor(values)
        nearest = points[(scaled[..., None] - points).abs().argmin(-1)]
        print(f"{label}: {sqnr_db(scaled, nearest):.2f} dB on normal numbers in groups of 64")
    axes.set_yticks(range(len(sets)), list(sets))
    axes.set_ylim(-0.6, len(sets) - 0.4)
    axes.set_xlabel("level, over the largest")
    return made


def roofline() -> DescribedFigure:
    """Time of one decoding step of a 13-billion-weight model on an A100, against the batch."""
    weights, bandwidth = 13e9, 2.039e12  # bytes a second, NVIDIA's data sheet of the A100 80GB SXM
    rates = {
        "float16": (2.0, 312e12),
        "int8 weights and inputs": (1.0, 624e12),
        "int4 weights, float16 inputs": (0.52, 312e12),
    }
    batches = [2**power for power in range(11)]
    series = {}
    for label, (stored, rate) in rates.items():
        series[label] = [
            1e3 * max(weights * stored / bandwidth, 2 * weights * batch / rate) for batch in batches
        ]
        turn = rate * stored / (2 * bandwidth)
        print(f"{label}: {series[label][0]:.1f} ms at batch 1, bound by arithmetic from {turn:.0f}")
    figure = plots.lines(
        batches,
        series,
        x_label="sequences decoded together",
        y_label="time of a step (ms)",
        log_y=True,
        alt="Computed time of a decoding step against the batch, both on log scales. Each curve is flat "
        "while memory is the limit and rises in proportion once arithmetic is. Int4 weights lie "
        "lowest up to a batch of about 50; int8 lies lowest beyond 80.",
    )
    figure.axes[0].set_xscale("log", base=2)
    return figure


FIGURES: dict[str, Callable[[], DescribedFigure]] = {
    made.__name__: made for made in (bits, clipping, granularity, compensation, outliers, levels, roofline)
}


def main(names: list[str]) -> None:
    """Draw the figures named, or all; the files are the same bytes in each run."""
    runtime.start(seed=0)
    matplotlib.rcParams.update({"svg.hashsalt": "chapter 3.1", "svg.fonttype": "none"})
    for name in names or list(FIGURES):
        print(f"-- {name}")
        FIGURES[name]().savefig(FOLDER / f"3.1-{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
