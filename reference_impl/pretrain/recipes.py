"""How each tiny model is trained: steps, batch, learning rate, and the metric that is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
        random_subnets: subnets a step besides the largest and the smallest, for a supernet that is trained by
            the sandwich rule (Yu et al. 2020, arXiv 2003.11142); 0 for every other model.
        whole_first: first steps of a supernet in which only the whole network is trained (Cai et al. 2020,
            arXiv 1908.09791): small subnets that start with it keep it from learning.
    """

    task: str
    steps: int
    batch: int
    learning_rate: float
    warmup: int = 50
    weight_decay: float = 0.01
    second_beta: float = 0.999
    random_subnets: int = 0
    whole_first: int = 0


RECIPES = {
    "bert": Recipe("languages", steps=1_600, batch=48, learning_rate=1e-3, warmup=100),
    "vit": Recipe("fashion", steps=1_200, batch=64, learning_rate=1e-3),
    "encoder": Recipe("fashion", steps=1_500, batch=64, learning_rate=2e-3),
    "supernet": Recipe(
        "fashion", steps=1_300, batch=64, learning_rate=2e-3, random_subnets=2, whole_first=600
    ),
    "llama": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
    "mistral": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
    "gpt2": Recipe("prose", steps=900, batch=16, learning_rate=3e-3, second_beta=0.95),
}

SUBNETS: dict[str, Any] = {"layers": 6, "heads": [1, 2, 3, 4], "ffn": [32, 64, 128, 256]}
"""What a subnet of the supernet may have; its first layers, heads and channels are those of the network."""

METRIC_OF_TASK = {"languages": "accuracy", "fashion": "accuracy", "prose": "perplexity"}
