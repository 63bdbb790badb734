"""What features are worth on our GPT-2, at equal steps, early and late: the table of Lab 3.10.

    python -m reference_impl.distillation.feature_tables      # about eight minutes of one core

trains the two-layer student of the lab with each loss, three seeds, and prints validation perplexities.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from labkit import data, evaluation, runtime, training, zoo
from reference_impl.distillation.attention import allowed_pairs, attention_kl, attention_transfer
from reference_impl.distillation.hidden_states import Projection, hidden_loss
from reference_impl.distillation.language_model import combined_loss
from reference_impl.distillation.relations import minilm_relation
from reference_impl.measured import mean

STEPS, SEEDS, RATE, PAIRS = (80, 240), (0, 1, 2), 2.5e-3, (2, 4)


class Both(nn.Module):
    """A student and its projection, trained together."""

    def __init__(self, seed: int) -> None:
        """Make both from one seed."""
        super().__init__()
        self.student = zoo.build("gpt2", seed=seed, attention="eager", n_embd=64, n_layer=2)
        torch.manual_seed(seed)
        self.projection = Projection(64, 128, 2)


def vectors(model: nn.Module, seen: dict[str, Tensor]) -> None:
    """Leave queries, keys and values of the last layer, (batch, tokens, 3 * width), in `seen` at every call."""
    last = model.get_submodule(f"transformer.h.{model.config.n_layer - 1}.attn.c_attn")
    last.register_forward_hook(lambda module, inputs, output: seen.update(output=output))


def feature(
    name: str, both: Both, answers: Sequence[Any], seen: Sequence[dict[str, Tensor]], mask: Tensor
) -> Tensor:
    """The part of the loss that compares insides."""
    own, goal = answers
    if "hidden" in name:
        return hidden_loss(both.projection(own.hidden_states), goal.hidden_states, PAIRS)
    if "attention" in name:
        pairs = zip(own.attentions, (goal.attentions[layer - 1] for layer in PAIRS), strict=True)
        return torch.stack([attention_kl(s, t, allowed_pairs(mask)) for s, t in pairs]).mean()
    if "energy" in name:
        pairs = zip(own.hidden_states[1:], (goal.hidden_states[layer] for layer in PAIRS), strict=True)
        return torch.stack([attention_transfer(s, t, mask) for s, t in pairs]).mean()
    if "relation" in name:
        parts = zip(*(item["output"].chunk(3, -1) for item in seen), strict=True)
        return torch.stack([minilm_relation(s, t, mask, heads=4) for s, t in parts]).mean()
    return torch.zeros(())


LOSSES: dict[str, tuple[float, float]] = {
    "text": (0.0, 0.0),
    "text and hidden states": (0.0, 3.0),
    "text and attention KL": (0.0, 1.0),
    "text and energy maps": (0.0, 10.0),
    "text and MiniLM relations": (0.0, 1.0),
    "teacher's logits": (0.9, 0.0),
    "teacher's logits and hidden states": (0.9, 1.0),
}
"""Weight of the teacher's logits, and of the features."""


def trained(name: str, seed: int, steps: int, teacher: nn.Module, train: dict[str, Tensor]) -> nn.Module:
    """A student after so many steps with one of the losses."""
    both = Both(seed)
    seen: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for model, store in zip((both.student, teacher), seen, strict=True):
        vectors(model, store)
    alpha, weight = LOSSES[name]

    def criterion(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        asked = {**batch, "output_hidden_states": True, "output_attentions": True}
        answer, mask = both.student(**asked), torch.ones_like(batch["input_ids"])
        if name == "text":
            goal = answer
        else:
            with torch.no_grad():
                goal = teacher(**asked)
        extra = feature(name, both, (answer, goal), seen, mask)
        goal_logits, tokens = goal.logits, batch["input_ids"]
        parts = combined_loss(
            answer.logits,
            goal_logits,
            tokens,
            mask,
            extra,
            temperature=1.0,
            alpha=alpha,
            hidden_weight=weight,
        )
        return parts["total"]

    training.fit(both, train, steps=steps, learning_rate=RATE, batch=16, seed=seed, criterion=criterion)
    return both.student


def main() -> None:
    """Print a row for each loss."""
    runtime.start(seed=0)
    train = data.tensors(data.prose()["train"], length=64)
    validation = data.tensors(data.prose()["validation"], length=64, limit=400)
    print(
        "| loss | " + " | ".join(f"perplexity after {steps} steps" for steps in STEPS) + " |\n|---|---|---|"
    )
    for name in LOSSES:
        cells = []
        for steps in STEPS:
            scores = []
            for seed in SEEDS:
                teacher = zoo.load("gpt2", attention="eager")
                scores.append(evaluation.quality(trained(name, seed, steps, teacher, train), validation)[1])
            cells.append(f"{mean(scores):.1f} (" + ", ".join(f"{score:.1f}" for score in scores) + ")")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
