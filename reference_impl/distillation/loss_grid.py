"""Losses for a student when all sentences have labels, at equal steps: the table of Lab 3.9, notebook 03.

    python -m reference_impl.distillation.loss_grid      # about five minutes of one core

trains the one-layer student of the lab on 4,000 labelled sentences with each loss, three seeds, and prints validation
accuracies.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from labkit import data, evaluation, runtime, training, zoo
from reference_impl.distillation.loss_design import dkd_loss, label_smoothing_loss
from reference_impl.distillation.temperature import kd_loss
from reference_impl.measured import mean

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]
STEPS, SEEDS = 200, (0, 1, 2)


def decoupled(beta: float, temperature: float) -> Criterion:
    """DKD with alpha = 1."""
    return lambda s, t, y: dkd_loss(s, t, y, temperature=temperature, alpha=1.0, beta=beta)


def softened(temperature: float, alpha: float) -> Criterion:
    """The distillation loss with weight alpha, and cross-entropy with the rest."""
    cross_entropy = torch.nn.functional.cross_entropy
    return lambda s, t, y: alpha * kd_loss(s, t, temperature) + (1 - alpha) * cross_entropy(s, y)


LOSSES: dict[str, Criterion] = {
    "labels": softened(1.0, 0.0),
    "labels, smoothed by 0.1": lambda s, t, y: label_smoothing_loss(s, y, 0.1),
    "teacher, T = 1": softened(1.0, 1.0),
    "teacher, T = 2": softened(2.0, 1.0),
    "teacher, T = 4": softened(4.0, 1.0),
    "teacher, T = 2, and labels, alpha = 0.5": softened(2.0, 0.5),
    "DKD, beta = 1, T = 1": decoupled(1.0, 1.0),
    "DKD, beta = 4, T = 1": decoupled(4.0, 1.0),
    "DKD, beta = 8, T = 1": decoupled(8.0, 1.0),
    "DKD, beta = 4, T = 2": decoupled(4.0, 2.0),
}


def main() -> None:
    """Train a student for each loss and seed."""
    runtime.start(seed=0)
    train = data.tensors(data.languages()["train"], limit=4000)
    validation = data.tensors(data.languages()["validation"])
    inputs = {key: value for key, value in train.items() if key != "labels"}
    train["targets"] = evaluation.logits(zoo.load("bert"), inputs)
    for name, loss in LOSSES.items():

        def criterion(model: torch.nn.Module, batch: dict[str, Tensor], loss: Criterion = loss) -> Tensor:
            targets, labels = batch.pop("targets"), batch.pop("labels")
            return loss(model(**batch).logits, targets, labels)

        scores = []
        for seed in SEEDS:
            student = zoo.build("bert", seed=seed, num_hidden_layers=1, intermediate_size=128)
            training.fit(student, train, steps=STEPS, learning_rate=5e-3, seed=seed, criterion=criterion)
            scores.append(evaluation.quality(student, validation)[1])
        print(f"{name:40s} {mean(scores):.3f}   ", " ".join(f"{score:.3f}" for score in scores), flush=True)


if __name__ == "__main__":
    main()
