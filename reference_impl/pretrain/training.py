"""One training loop for every tiny model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit import data, training, zoo
from reference_impl.pretrain.recipes import SUBNETS, Recipe
from reference_impl.pruning.search_space import random_subnet
from reference_impl.pruning.supernet import sandwich_step

Batch = dict[str, Tensor]
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Run:
    """A trained model and what training it cost and showed.

    Attributes:
        model: in eval mode.
        losses: mean training loss of each tenth of the run, in nats.
        cpu_seconds: of this process.
    """

    model: nn.Module
    losses: list[float]
    cpu_seconds: float


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of a model that answers with a tensor or with an object that holds ``logits``."""
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    answer = model(**inputs)
    logits: Tensor = answer if isinstance(answer, Tensor) else answer.logits
    return logits


def add_gradient(
    model: nn.Module, batch: Batch, recipe: Recipe, step: int, generator: torch.Generator
) -> float:
    """Add one batch's gradient to the parameters; return the loss, of a supernet that of the whole network."""
    if recipe.random_subnets and step >= recipe.whole_first:
        others = [random_subnet(SUBNETS, generator) for _ in range(recipe.random_subnets)]
        return sandwich_step(model, batch, SUBNETS, others)[0]
    loss = training.loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """Return the learning rate of ``step``: linear warm-up times cosine decay to 2%."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * (0.02 + 0.98 * cosine)


def labelled_batches(rows: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Yield shuffled batches for ever; each epoch visits every row at most once."""
    count = len(rows["labels"])
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            index = order[start : start + size]
            batch = {key: value[index] for key, value in rows.items()}
            if (
                "attention_mask" in batch
            ):  # a column that is padding in every row of the batch costs time only
                longest = int(batch["attention_mask"].sum(1).max())
                batch["input_ids"] = batch["input_ids"][:, :longest]
                batch["attention_mask"] = batch["attention_mask"][:, :longest]
            if "pixel_values" in batch:
                batch["pixel_values"] = mirrored(batch["pixel_values"], generator)
            yield batch


def mirrored(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures (n, 1, size, size), a random half of them mirrored left to right.

    8,000 pictures are few, and clothing looks as likely either way round.
    """
    chosen = torch.rand(len(pictures), generator=generator) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), pictures.flip(-1), pictures)


def token_batches(rows: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Yield windows (size, block) from random places of the joined text, for ever."""
    block = rows["input_ids"].shape[1]
    stream = rows["input_ids"].flatten()
    windows = stream.unfold(0, block, 1)
    while True:
        yield {"input_ids": windows[torch.randint(len(windows), (size,), generator=generator)]}


def train(
    name: str, recipe: Recipe, seed: int, *, advance: Callable[[float], None] = lambda loss: None
) -> Run:
    """Train ``name`` from scratch on one thread; equal seeds give equal weights on one machine.

    Args:
        name: of the zoo.
        recipe: steps, batch and rates.
        seed: of the initial weights, the order of the data and dropout.
        advance: called once a step with the loss.
    """
    torch.set_num_threads(1)
    splits = getattr(data, recipe.task)()
    rows = data.tensors(splits["train"])
    generator = torch.Generator().manual_seed(seed)
    batches = (labelled_batches if "labels" in rows else token_batches)(rows, recipe.batch, generator)
    model = zoo.build(name, seed=seed)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, recipe.second_beta),
        weight_decay=recipe.weight_decay,
    )
    torch.manual_seed(seed)
    losses: list[float] = []
    started = time.process_time()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, recipe)
        optimizer.zero_grad()
        value = add_gradient(model, next(batches), recipe, step, generator)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value)
        advance(losses[-1])
    tenth = max(1, recipe.steps // 10)
    means = [sum(losses[i : i + tenth]) / tenth for i in range(0, tenth * 10, tenth)]
    return Run(model.eval(), means, time.process_time() - started)


@torch.no_grad()
def measure(model: nn.Module, rows: Batch) -> float:
    """Return the accuracy in [0, 1] on labelled rows, or the perplexity a token on blocks of tokens."""
    model.eval()
    count = len(next(iter(rows.values())))
    total = 0.0
    for start in range(0, count, EVALUATION_BATCH):
        batch = {key: value[start : start + EVALUATION_BATCH] for key, value in rows.items()}
        size = len(next(iter(batch.values())))
        if "labels" in batch:
            total += float((logits_of(model, batch).argmax(-1) == batch["labels"]).sum())
        else:
            total += size * training.loss(model, batch).item()
    return total / count if "labels" in rows else math.exp(total / count)
