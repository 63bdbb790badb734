"""One short training loop for labs in which training is not the subject: fine-tuning a pruned model, for instance.

A lab that teaches a training loop writes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def batches(rows: Mapping[str, Tensor], size: int, *, seed: int = 0) -> Iterator[dict[str, Tensor]]:
    """Yield shuffled batches for ever; an epoch visits each row at most once, and its last partial batch is left out.

    Args:
        rows: as of ``labkit.data.tensors``.
        size: rows a batch, at most as many as there are.
        seed: of the order.

    Raises:
        ValueError: ``size`` is below 1 or above the number of rows.
    """
    count = len(next(iter(rows.values())))
    if not 1 <= size <= count:
        raise ValueError(f"batches of {size} can not be made of {count} rows")
    return _shuffled(rows, count, size, torch.Generator().manual_seed(seed))


def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the mean cross-entropy in nats: of the labels if ``batch`` has any, else of each next token."""
    answer: Any = model(**{key: value for key, value in batch.items() if key != "labels"})
    logits: Tensor = answer if isinstance(answer, Tensor) else answer.logits
    if "labels" in batch:
        return nn.functional.cross_entropy(logits, batch["labels"])
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten())


def fit(
    model: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    batch: int = 64,
    weight_decay: float = 0.0,
    seed: int = 0,
    after_step: Callable[[int], None] | None = None,
    criterion: Callable[[nn.Module, dict[str, Tensor]], Tensor] = loss,
) -> list[float]:
    """Train ``model`` in place with AdamW on shuffled batches, and return each step's loss in nats.

    The learning rate falls in a straight line from ``learning_rate`` to zero. Gradients are clipped at norm 1.
    The model trains in train mode (dropout follows ``seed``) and is left in eval mode.

    Args:
        model: answers with logits, or with an object that has them.
        rows: as of ``labkit.data.tensors``.
        steps: optimizer steps.
        learning_rate: of the first step.
        batch: rows a step.
        weight_decay: decoupled, as in AdamW.
        seed: of the order and of dropout.
        after_step: called after every optimizer step with its number, from 0.
        criterion: what is minimised, of the model and a batch; ``loss`` if not given.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    chosen = batches(rows, batch, seed=seed)
    torch.manual_seed(seed)
    model.train()
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        value = criterion(model, next(chosen))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if after_step is not None:
            after_step(step)
        losses.append(value.item())
    model.eval()
    return losses


def _shuffled(
    rows: Mapping[str, Tensor], count: int, size: int, generator: torch.Generator
) -> Iterator[dict[str, Tensor]]:
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            index = order[start : start + size]
            yield {key: value[index] for key, value in rows.items()}
