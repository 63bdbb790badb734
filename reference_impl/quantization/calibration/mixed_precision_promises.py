"""What the course promised of mixed precision against what the tiny Llama attains.

`python -m reference_impl.quantization.calibration.mixed_precision_promises` prints the table of Lab 3.4's README.
"""

import math

import torch

from labkit import zoo
from reference_impl.quantization.bit_allocation import allocate_dp, file_bytes
from reference_impl.quantization.calibration.mixed_precision import (
    GROUP,
    blocks,
    fisher_costs,
    layer_bytes,
    linears_of,
    perplexity,
)

WIDTHS = list(range(2, 9))


def promised_and_measured() -> None:
    """Print size and kept quality of uniform and mixed widths, on all validation text."""
    torch.set_num_threads(1)
    model = zoo.load("llama").eval()
    layers = linears_of(model)
    generator = torch.Generator().manual_seed(0)
    costs = fisher_costs(model, blocks("train")[:16], WIDTHS, generator)
    sizes = layer_bytes(layers, WIDTHS)
    shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    tokens = blocks("validation")
    full = perplexity(model, {}, tokens)
    weights = 4 * sum(layer.weight.numel() for layer in layers.values())
    whole = 4 * sum(math.prod(shape) for shape in shapes.values())
    print(f"float32: {weights:,} bytes of layers, {whole:,} of the file, perplexity {full:.3f}")
    rest = file_bytes({k: v for k, v in shapes.items() if k.removesuffix(".weight") not in layers}, {}, GROUP)
    rows = {
        "uniform 8 bits": dict.fromkeys(layers, 8),
        "mixed, layers 4 times smaller": allocate_dp(costs, sizes, WIDTHS, weights // 4),
        "uniform 4 bits": dict.fromkeys(layers, 4),
        "mixed, layers 8 times smaller": allocate_dp(costs, sizes, WIDTHS, weights // 8),
        "mixed, file 8 times smaller": allocate_dp(costs, sizes, WIDTHS, whole // 8 - rest),
        "uniform 3 bits": dict.fromkeys(layers, 3),
    }
    for label, found in rows.items():
        used = sum(sizes[name][WIDTHS.index(width)] for name, width in found.items())
        kept = full / perplexity(model, found, tokens)
        print(
            f"{label:30s} layers {weights / used:5.2f}x   file {whole / (used + rest):5.2f}x   kept {kept:.4f}"
        )


if __name__ == "__main__":
    promised_and_measured()
