"""The measured checks of Lab 3.12: specialists, generations, exits, peers, and the capstone's score."""

from functools import cache

import torch
from labkit.capstone.score import score, transformed
from torch import Tensor, nn

from heldout import fashion
from labkit import data, evaluation, training, zoo
from reference_impl.distillation.capstone import compress
from reference_impl.distillation.capstone_points import FULL, rebuilt, stored_at
from reference_impl.distillation.cohorts import RATE, STEPS, chosen, shuffled, small, taught, three_teachers
from reference_impl.distillation.ensembles import teacher_logits
from reference_impl.distillation.exits_small import Heads, from_the_last
from reference_impl.distillation.mutual_learning import mutual_train
from reference_impl.distillation.self_distillation import born_again, exit_early
from reference_impl.measured import Measured, entry

Rows = dict[str, Tensor]


@cache
def ground() -> tuple[Rows, Rows]:
    """Training and test pictures."""
    return data.tensors(data.fashion()["train"]), data.tensors(fashion())


@cache
def specialists() -> Tensor:
    """Answers of the lab's three teachers to the training pictures, (n, 3, 10)."""
    train, _ = ground()
    few = chosen(train, shuffled(train, 0)[:600])
    return teacher_logits(three_teachers(few, 0), train["pixel_values"])


def ensemble(seed: int) -> Measured:
    """A student of three specialists against one of the best of them."""
    train, test = ground()
    found = []
    for weights in ((1 / 3, 1 / 3, 1 / 3), (1.0, 0.0, 0.0)):
        rows = {
            "pixel_values": train["pixel_values"],
            "answers": specialists(),
            "weights": torch.tensor(weights).expand(len(train["labels"]), 3),
        }
        student = small(seed)
        training.fit(student, rows, steps=STEPS, learning_rate=RATE, seed=seed, criterion=taught)
        found.append(evaluation.quality(student, test)[1])
    return {"test accuracy of the student": entry(found[0], found[1], 0.55)}


def generation(seed: int) -> Measured:
    """What a second generation gains, with unlabelled pictures and without."""
    train, test = ground()
    few = chosen(train, shuffled(train, seed)[:200])
    gains = []
    for pictures in (train["pixel_values"], few["pixel_values"]):
        first, second = born_again(small, few, pictures, generations=1, steps=STEPS, seed=seed)
        gains.append(evaluation.quality(second, test)[1] - evaluation.quality(first, test)[1])
    return {"gain of generation 1 over generation 0, test accuracy": entry(gains[0], gains[1], 0.0)}


@cache
def layer_states(split: str) -> tuple[Tensor, Tensor]:
    """The first token after each layer of the ViT but the last, (n, 5, 64), and its logits."""
    train, test = ground()
    network, states, logits = zoo.load("vit"), [], []
    with torch.no_grad():
        for part in (train if split == "train" else test)["pixel_values"].split(500):
            answer = network(pixel_values=part, output_hidden_states=True)
            states.append(torch.stack([state[:, 0] for state in answer.hidden_states[1:-1]], dim=1))
            logits.append(answer.logits)
    return torch.cat(states), torch.cat(logits)


def exits(seed: int) -> Measured:
    """Exits that learned from the last one, against untrained ones and against leaving at once."""
    states, answers = layer_states("train")
    shown, final = layer_states("test")
    labels = ground()[1]["labels"]
    full = evaluation.accuracy(final, labels)

    heads = Heads(5, 64)
    rows = {"states": states, "answers": answers}
    training.fit(heads, rows, steps=300, learning_rate=1e-2, batch=256, seed=seed, criterion=from_the_last)
    with torch.no_grad():
        trained, fresh = (
            torch.cat([made.eval()(shown), final.unsqueeze(0)]) for made in (heads, Heads(5, 64))
        )
    predicted, left = exit_early(trained, 0.8)
    _, untrained = exit_early(fresh, 0.8)
    at_once, _ = exit_early(trained, 0.0)

    def kept(classes: Tensor) -> float:
        return float((classes == labels).double().mean()) / full

    return {
        "layers a picture runs through, mean": entry(
            float((left + 1).double().mean()), float((untrained + 1).double().mean()), 3.0, "at_most"
        ),
        "share of the accuracy kept with exits": entry(kept(predicted), kept(at_once), 0.96),
    }


def peers(seed: int) -> Measured:
    """Two students together against the same two apart, and against two without labels."""
    train, test = ground()
    few = chosen(train, shuffled(train, 0)[:600])

    def apart(pair: list[nn.Module]) -> float:
        one, other = (evaluation.logits(network, test).double().log_softmax(dim=-1) for network in pair)
        return float(((one.exp() - other.exp()) * (one - other)).sum(dim=-1).mean() / 2)

    together, alone, nobody = ([small(seed), small(seed + 1)] for _ in range(3))
    mutual_train(together[0], together[1], few, steps=STEPS, seed=seed)
    for network in alone:
        training.fit(network, few, steps=STEPS, learning_rate=RATE, seed=seed)
    unknown = {**few, "labels": torch.full_like(few["labels"], -100)}
    mutual_train(nobody[0], nobody[1], unknown, steps=STEPS, seed=seed)
    worst = [min(evaluation.quality(network, test)[1] for network in pair) for pair in (together, nobody)]
    return {
        "divergence of two students trained together over that of two trained apart": entry(
            apart(together) / apart(alone), 1.0, 0.8, "at_most"
        ),
        "test accuracy of each student": entry(worst[0], worst[1], 0.6),
    }


def capstone(seed: int) -> Measured:
    """The reference's hand-in against one technique alone, on pictures of another transformation each time."""
    base = zoo.load("vit")
    rows = transformed(ground()[1], seed)
    goal, size = evaluation.quality(base, rows)[1], evaluation.stored_bytes(base)
    scores = []
    for files in (compress(seed), stored_at(base, 4, FULL), stored_at(base, 16, FULL)):
        network, stored = rebuilt(*files)
        scores.append(score(evaluation.quality(network, rows)[1] / goal, size / stored))
    return {
        "score on hidden pictures": entry(scores[0], scores[2], 3.0),
        "score of combined techniques": entry(scores[0], scores[1], 15.0),
    }


def multi_teacher_distillation(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    return ensemble(seed) | generation(seed) | exits(seed) | peers(seed) | capstone(seed)
