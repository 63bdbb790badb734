"""What structured pruning of the tiny ViT keeps and saves, beside what the course promises.

    python -m reference_impl.pruning.calibration.structured_promises           # the promises' table
    python -m reference_impl.pruning.calibration.structured_promises small     # MiniLM, the `small` profile of BERT

prints a Markdown table, on one core. Accuracies are means over three draws of rows and seeds, on the test pictures.
"""

import sys
from collections.abc import Callable

import torch

from labkit import data, evaluation, runtime, training, zoo
from reference_impl.measured import mean
from reference_impl.pruning.calibration.structured import classifier, shrunk
from reference_impl.pruning.costs import count_macs
from reference_impl.pruning.depth import drop_layers, layer_influences
from reference_impl.pruning.heads import head_importance, prune_heads, select_heads
from reference_impl.pruning.speedup import paired_speedup

SHAPES = ((6, 24, 256), (6, 12, 128), (4, 16, 256), (4, 8, 128), (4, 8, 64), (3, 6, 64))
STEPS, RATE, SEEDS = 300, 2e-3, 3


def promises(report: Callable[[str], object] = print) -> None:
    """Print what five shapes keep and save."""
    runtime.start(seed=0)
    model, train, test, dense = classifier()
    picture = {"pixel_values": train["pixel_values"][:1]}
    many = {"pixel_values": train["pixel_values"][:128]}
    queries = [f"vit.layers.{i}.attention.q_proj" for i in range(6)]
    report("| layers, heads, channels | parameters | MACs | time | kept, untrained | kept, 300 steps |")
    report("|---|---|---|---|---|---|")
    for layers, heads, channels in SHAPES:
        before, after = [], []
        for seed in range(SEEDS):
            small = shrunk(torch.Generator().manual_seed(seed), layers, heads, channels)
            before.append(evaluation.quality(small, test)[1] / dense)
            training.fit(small, train, steps=STEPS, learning_rate=RATE, seed=seed)
            after.append(evaluation.quality(small, test)[1] / dense)
        with torch.no_grad():
            timed = paired_speedup(lambda: model(**many), lambda small=small: small(**many), repeats=41)
        fewer = evaluation.parameter_count(model) / evaluation.parameter_count(small)
        work = count_macs(model, picture, queries) / count_macs(small, picture, queries)
        report(
            f"| {layers}, {heads}, {channels} | {fewer:.2f} times fewer | {work:.2f} | {timed['speedup']:.1f} "
            f"| {mean(before):.3f} | {mean(after):.3f} |"
        )


def minilm(report: Callable[[str], object] = print) -> None:
    """Print the block influences of MiniLM and the heads that stay, by an untrained classifier."""
    runtime.start(seed=0)
    model, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    rows = data.tensors(data.languages()["train"].select(range(64)), tokenizer=tokenizer)
    stack = "bert.encoder.layer"
    influences = layer_influences(model, stack, [rows])
    parts = {"q": "self.query", "k": "self.key", "v": "self.value", "o": "output.dense"}
    blocks = [
        {part: f"{stack}.{i}.attention.{name}" for part, name in parts.items()}
        for i in range(len(influences))
    ]
    width = model.config.hidden_size // model.config.num_attention_heads
    importance = head_importance(model, [block["o"] for block in blocks], [rows], width)
    kept = select_heads(importance, sum(map(len, importance)) // 2)
    report("| MiniLM, 64 sentences | " + " | ".join(f"block {i}" for i in range(len(influences))) + " |")
    report("|---|" + "---|" * len(influences))
    report("| block influence | " + " | ".join(f"{value:.3f}" for value in influences) + " |")
    report("| heads that stay, half of all | " + " | ".join(str(len(heads)) for heads in kept) + " |")
    least = min(range(len(influences)), key=influences.__getitem__)
    for label, smaller in (
        (f"without block {least}", drop_layers(model, stack, [least])),
        ("half of the heads", prune_heads(model, blocks, kept, width)),
    ):
        fewer = evaluation.parameter_count(model) - evaluation.parameter_count(smaller)
        report(f"\n{label}: {fewer:,} of {evaluation.parameter_count(model):,} parameters fewer")


if __name__ == "__main__":
    minilm() if sys.argv[1:] == ["small"] else promises()
