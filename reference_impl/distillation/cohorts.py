"""Several seeds of what lab 3.12 shows with one: specialists, generations, peers.

    python -m reference_impl.distillation.cohorts specialists     # about two minutes of one core
    python -m reference_impl.distillation.cohorts generations     # about two minutes
    python -m reference_impl.distillation.cohorts peers           # about two minutes

Each prints a Markdown table of test accuracies: mean, smallest and largest of five seeds.
"""

import copy
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from heldout import fashion
from labkit import data, evaluation, runtime, training, zoo
from reference_impl.distillation.ensembles import (
    combine_probabilities,
    confidence_weights,
    multi_teacher_loss,
    teacher_logits,
)
from reference_impl.distillation.mutual_learning import agreement, mutual_train
from reference_impl.distillation.self_distillation import born_again
from reference_impl.measured import mean

Row = tuple[str, float]
SMALL = {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 96}
KNOWN = ((0, 1, 2, 3, 4, 5), (4, 5, 6, 7, 8, 9), (8, 9, 0, 1, 2, 6))
SEEDS, STEPS, RATE = range(5), 200, 2e-3


def small(seed: int) -> nn.Module:
    """The untrained network of the lab."""
    return zoo.build("vit", seed=seed, **SMALL)


def chosen(rows: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Some of the rows."""
    return {key: value[index] for key, value in rows.items()}


def shuffled(rows: dict[str, Tensor], seed: int) -> Tensor:
    """All row numbers in an order of the seed."""
    return torch.randperm(len(rows["labels"]), generator=torch.Generator().manual_seed(seed))


def on_labels(rows: dict[str, Tensor], seed: int, *, steps: int = STEPS, order: int = 0) -> nn.Module:
    """A network trained on labelled rows."""
    network = small(seed)
    training.fit(network, rows, steps=steps, learning_rate=RATE, seed=order)
    return network


def three_teachers(labelled: dict[str, Tensor], seed: int) -> list[nn.Module]:
    """Networks that have seen only the pictures of their own six classes."""
    return [
        on_labels(
            chosen(labelled, torch.isin(labelled["labels"], torch.tensor(classes)).nonzero()[:, 0]),
            seed + number,
            steps=120,
            order=number,
        )
        for number, classes in enumerate(KNOWN)
    ]


def specialists(train: dict[str, Tensor], test: dict[str, Tensor], seed: int) -> Iterator[Row]:
    """Three teachers who know six classes each, their ensembles, and students of them."""
    labelled = chosen(train, shuffled(train, seed)[:600])
    teachers = three_teachers(labelled, 10 * seed)
    answers = teacher_logits(teachers, test["pixel_values"])
    alike = torch.full(answers.shape[:2], 1 / 3)

    def right(predicted: Tensor) -> float:
        return evaluation.accuracy(predicted, test["labels"])

    single = [right(answers[:, number]) for number in range(3)]
    yield "a teacher, mean of three", mean(single)
    yield "the best teacher", max(single)
    yield "mean of probabilities", right(combine_probabilities(answers, alike))
    for sharpness in (3.0, 6.0, 12.0):
        weights = confidence_weights(answers, sharpness)
        yield (
            f"weighted by confidence, sharpness {sharpness:g}",
            right(combine_probabilities(answers, weights)),
        )
    yield "mean of logits", right(answers.mean(dim=1))
    votes = nn.functional.one_hot(answers.argmax(dim=-1), 10).double().sum(dim=1)
    yield "vote", right(votes)
    probabilities = answers.softmax(dim=-1)[torch.arange(len(votes)), :, test["labels"]]
    yield "mean loss of the teachers (nats)", -probabilities.log().mean().item()
    yield "loss of the mean of probabilities (nats)", -probabilities.mean(dim=1).log().mean().item()

    asked = teacher_logits(teachers, train["pixel_values"])
    alike = torch.full(asked.shape[:2], 1 / 3)
    best = torch.zeros_like(alike)
    best[:, single.index(max(single))] = 1.0
    for name, weights in (
        ("student of the best teacher", best),
        ("student of the mean of probabilities", alike),
        ("student of the weighted mean, sharpness 6", confidence_weights(asked, 6.0)),
    ):
        student = small(10 * seed + 7)
        rows = {"pixel_values": train["pixel_values"], "answers": asked, "weights": weights}
        training.fit(student, rows, steps=STEPS, learning_rate=RATE, seed=seed, criterion=taught)
        yield name, evaluation.quality(student, test)[1]
    student = small(10 * seed + 7)
    rows = {"pixel_values": train["pixel_values"], "answers": asked.mean(dim=1, keepdim=True)}
    rows["weights"] = torch.ones(len(asked), 1)
    training.fit(student, rows, steps=STEPS, learning_rate=RATE, seed=seed, criterion=taught)
    yield "student of the mean of logits", evaluation.quality(student, test)[1]
    yield (
        "student of the 600 labels, all classes",
        evaluation.quality(on_labels(labelled, 10 * seed + 7, order=seed), test)[1],
    )


def taught(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The criterion of a student of several teachers, whose answers and weights are in the batch."""
    logits = network(pixel_values=batch["pixel_values"]).logits
    return multi_teacher_loss(logits, batch["answers"], batch["weights"], 2.0)


def generations(train: dict[str, Tensor], test: dict[str, Tensor], seed: int) -> Iterator[Row]:
    """Born-again networks with 200 labels, with and without pictures that have no label."""
    labelled = chosen(train, shuffled(train, seed)[:200])
    family = born_again(small, labelled, train["pixel_values"], generations=3, steps=STEPS, seed=10 * seed)
    for number, network in enumerate(family):
        yield f"generation {number}", evaluation.quality(network, test)[1]
    alone = born_again(small, labelled, labelled["pixel_values"], generations=1, steps=STEPS, seed=10 * seed)
    yield "generation 1, on the labelled pictures only", evaluation.quality(alone[1], test)[1]
    answers = evaluation.logits(family[0], {"pixel_values": train["pixel_values"]})
    pseudo = {"pixel_values": train["pixel_values"], "labels": answers.argmax(dim=-1)}
    yield (
        "generation 1, most probable class only",
        evaluation.quality(on_labels(pseudo, 10 * seed + 1, order=10 * seed + 1), test)[1],
    )
    warm = copy.deepcopy(family[0])
    soft = {"pixel_values": train["pixel_values"], "answers": answers.softmax(dim=-1)}
    training.fit(warm, soft, steps=STEPS, learning_rate=RATE, seed=10 * seed + 1, criterion=_copied)
    yield "generation 1, started from generation 0's weights", evaluation.quality(warm, test)[1]
    longer = on_labels(labelled, 10 * seed, steps=2 * STEPS, order=10 * seed)
    yield "200 labels, twice the steps", evaluation.quality(longer, test)[1]


def _copied(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    logits = network(pixel_values=batch["pixel_values"]).logits
    return nn.functional.cross_entropy(logits, batch["answers"])


def peers(train: dict[str, Tensor], test: dict[str, Tensor], seed: int) -> Iterator[Row]:
    """Two students alone, together, and together with pictures that have no label."""
    order = shuffled(train, seed)
    labelled = chosen(train, order[:600])
    more = chosen(train, torch.cat([order[:600].repeat(5), order]))
    more["labels"][3000:] = -100
    first = [on_labels(labelled, 10 * seed + number, order=seed) for number in range(2)]
    second, third = ([small(10 * seed + number) for number in range(2)] for _ in range(2))
    mutual_train(second[0], second[1], labelled, steps=STEPS, seed=seed)
    mutual_train(third[0], third[1], more, steps=STEPS, seed=seed)
    for name, pair in (("alone", first), ("together", second), ("together, unlabelled too", third)):
        logits = [evaluation.logits(network, test) for network in pair]
        yield f"{name}: accuracy", mean([evaluation.accuracy(part, test["labels"]) for part in logits])
        yield f"{name}: agreement", agreement(logits[0], logits[1])
        both = combine_probabilities(torch.stack(logits, dim=1), torch.full((len(logits[0]), 2), 0.5))
        yield f"{name}: accuracy of both averaged", evaluation.accuracy(both, test["labels"])


PARTS = {"specialists": specialists, "generations": generations, "peers": peers}


def main() -> None:
    """Print the table that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"name one of {', '.join(PARTS)}")
    runtime.start(seed=0)
    train, test = data.tensors(data.fashion()["train"]), data.tensors(fashion())
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        for name, value in PARTS[sys.argv[1]](train, test, seed):
            found.setdefault(name, []).append(value)
    print("| | mean | smallest | largest |\n|---|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {mean(values):.3f} | {min(values):.3f} | {max(values):.3f} |")


if __name__ == "__main__":
    main()
