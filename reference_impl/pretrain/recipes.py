"""How each tiny model is trained: steps, batch, learning rate, and the metric that is reported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One model's training: AdamW, linear warm-up, cosine decay to 2% of the learning rate.

    Attributes:
        task: data set of ``labkit.data``.
        steps: optimizer steps.
        batch: rows a step.
        learning_rate: the highest one.
        warmup: steps to reach it.
        weight_decay: decoupled (Loshchilov and Hutter 2019).
        second_beta: of AdamW; 0.95 for language models.
    """

    task: str
    steps: int
    batch: int
    learning_rate: float
    warmup: int = 50
    weight_decay: float = 0.01
    second_beta: float = 0.999


RECIPES = {
    "bert": Recipe("languages", steps=1_600, batch=48, learning_rate=1e-3, warmup=100),
    "vit": Recipe("fashion", steps=1_200, batch=64, learning_rate=1e-3),
    "encoder": Recipe("fashion", steps=1_500, batch=64, learning_rate=2e-3),
    "llama": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
    "mistral": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
    "gpt2": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
}

METRIC_OF_TASK = {"languages": "accuracy", "fashion": "accuracy", "prose": "perplexity"}
