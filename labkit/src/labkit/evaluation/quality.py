"""How good a model is: accuracy on labels, perplexity on text.

The metrics are ``evaluate.Metric`` classes defined here. ``evaluate.load("accuracy")`` would fetch its script
from the hub, and the labs run without a network.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from labkit.compat.logs import quiet_imports

Predict = Callable[[dict[str, Tensor]], Tensor]
ACCURACY, PERPLEXITY = "accuracy", "perplexity"
BATCH = 128


@torch.no_grad()
def logits(model: nn.Module | Predict, rows: Mapping[str, Tensor], *, batch: int = BATCH) -> Tensor:
    """Return the logits of every row: (n, classes), or (n, tokens, vocabulary) for text.

    A module runs in eval mode and is put back into its mode afterwards. Any other callable gets the inputs as
    one dict and returns logits.

    Args:
        model: a module whose answer is a tensor or has ``.logits``, or a callable.
        rows: as of ``labkit.data.tensors``; ``labels`` are not passed on.
        batch: rows a call.
    """
    inputs = {key: value for key, value in rows.items() if key != "labels"}
    count = len(next(iter(inputs.values())))
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    parts = []
    for start in range(0, count, batch):
        parts.append(_call(model, {key: value[start : start + batch] for key, value in inputs.items()}))
    if isinstance(model, nn.Module):
        model.train(training)
    return torch.cat(parts)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of rows, 0 to 1, whose largest logit (n, classes) is at the label (n,)."""
    result = _metrics()[ACCURACY].compute(
        predictions=predicted.argmax(-1).tolist(), references=labels.tolist()
    )
    return float(result[ACCURACY])


def perplexity(predicted: Tensor, tokens: Tensor) -> float:
    """Return exp of the mean cross-entropy a token, in nats; 1 is perfect, the vocabulary size is guessing.

    Args:
        predicted: logits (n, tokens, vocabulary); position t is compared with token t + 1.
        tokens: (n, tokens), whole blocks without padding.
    """
    losses = nn.functional.cross_entropy(
        predicted[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none"
    )
    means = losses.view(len(tokens), -1).double().mean(1)
    result = _metrics()[PERPLEXITY].compute(predictions=means.tolist(), references=[0.0] * len(means))
    return float(result[PERPLEXITY])


def quality(model: nn.Module | Predict, rows: Mapping[str, Tensor]) -> tuple[str, float]:
    """Return ("accuracy", value) if ``rows`` has labels, else ("perplexity", value)."""
    if "labels" in rows:
        return ACCURACY, accuracy(logits(model, rows), rows["labels"])
    # Logits of a whole text would fill the memory of a small machine, so each batch is reduced at once.
    total, tokens = 0.0, rows["input_ids"]
    for start in range(0, len(tokens), BATCH):
        block = tokens[start : start + BATCH]
        total += len(block) * math.log(perplexity(logits(model, {"input_ids": block}), block))
    return PERPLEXITY, math.exp(total / len(tokens))


def recovery(metric: str, value: float, baseline: float) -> float:
    """Return how much of the baseline's quality is left: 1 is all of it, for either metric.

    Accuracy is divided by the baseline's; the baseline's perplexity is divided by this one.

    Raises:
        ValueError: the metric is neither accuracy nor perplexity.
    """
    if metric == ACCURACY:
        return value / baseline
    if metric == PERPLEXITY:
        return baseline / value
    raise ValueError(f"no metric is called {metric!r}")


def _call(model: nn.Module | Predict, inputs: dict[str, Tensor]) -> Tensor:
    answer: Any = model(**inputs) if isinstance(model, nn.Module) else model(inputs)
    result: Tensor = answer if isinstance(answer, Tensor) else answer.logits
    return result


@cache
def _metrics() -> dict[str, Any]:
    """Build both metrics once; evaluate insists on a cache folder, and in memory never looks at it again."""
    quiet_imports()
    import datasets
    import evaluate

    def info(kind: str, text: str) -> Any:
        features = {"predictions": datasets.Value(kind), "references": datasets.Value(kind)}
        return evaluate.MetricInfo(description=text, citation="", features=datasets.Features(features))

    class Accuracy(evaluate.Metric):  # type: ignore[misc]
        def _info(self) -> Any:
            return info("int64", "share of predictions that equal the reference")

        def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
            pairs = zip(predictions, references, strict=True)
            return {ACCURACY: sum(mine == true for mine, true in pairs) / len(references)}

    class Perplexity(evaluate.Metric):  # type: ignore[misc]
        def _info(self) -> Any:
            return info("float64", "exp of the mean of per-block cross-entropies in nats")

        def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
            return {PERPLEXITY: math.exp(math.fsum(predictions) / len(predictions))}

    with tempfile.TemporaryDirectory(prefix="labkit-metrics-") as folder:
        return {
            ACCURACY: Accuracy(keep_in_memory=True, cache_dir=folder),
            PERPLEXITY: Perplexity(keep_in_memory=True, cache_dir=folder),
        }
