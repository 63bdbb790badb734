"""The measured checks of Lab 3.9: a student taught with few labels, and one that starts as a part of its teacher."""

from functools import cache

import torch
from torch import Tensor, nn

from heldout import languages
from labkit import data, evaluation, training, zoo
from reference_impl.distillation.response import distill
from reference_impl.distillation.student_init import init_from_teacher
from reference_impl.measured import Measured, entry

LABELLED, STEPS, TOKENS = 200, 200, 16


def fresh(seed: int) -> nn.Module:
    """The untrained student."""
    return zoo.build("bert", seed=seed, num_hidden_layers=1, intermediate_size=128)


@cache
def ground(tokens: int, limit: int | None = None) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """The teacher, training sentences of so many tokens with its own answers as labels, and the test sentences."""
    teacher, train = zoo.load("bert"), data.tensors(data.languages()["train"], length=tokens, limit=limit)
    inputs = {key: value for key, value in train.items() if key != "labels"}
    answers = {**inputs, "labels": evaluation.logits(teacher, inputs).argmax(-1)}
    return teacher, answers, data.tensors(languages(), length=tokens)


def few_labels(seed: int) -> Measured:
    """200 labels and all sentences, against the labels alone."""
    teacher, answers, test = ground(TOKENS)
    rows = data.tensors(data.languages()["train"], length=TOKENS)
    order = torch.randperm(len(rows["labels"]), generator=torch.Generator().manual_seed(seed))
    mixed = {key: value[order] for key, value in rows.items()}
    mixed["labels"][LABELLED:] = -100
    few = {key: value[:LABELLED] for key, value in mixed.items()}

    student, alone, copied = fresh(seed), fresh(seed), fresh(seed)
    distill(student, teacher, mixed, temperature=2.0, alpha=0.9, steps=STEPS, seed=seed)
    training.fit(alone, few, steps=STEPS, learning_rate=5e-3, seed=seed)
    training.fit(copied, answers, steps=STEPS, learning_rate=5e-3, seed=seed)
    taught, control, hard = (evaluation.quality(model, test)[1] for model in (student, alone, copied))
    label = "test accuracy of the student"
    return {
        label: entry(taught, control, 0.60),
        f"{label}, gain over the teacher's most probable class": entry(taught - hard, 0.0, 0.02),
    }


def started(seed: int) -> Measured:
    """A third of the parameters, started from the teacher or at random, taught alike."""
    teacher, answers, test = ground(32, 4000)
    goal = evaluation.quality(teacher, test)[1]
    kept = []
    for start in (True, False):
        student = fresh(seed)
        if start:
            student.load_state_dict(init_from_teacher(teacher.state_dict(), [seed % 4], 128))
        training.fit(student, answers, steps=60, learning_rate=1e-3, seed=seed)
        kept.append(evaluation.quality(student, test)[1] / goal)
    return {"share of the teacher's accuracy that the student keeps": entry(kept[0], kept[1], 0.95)}


def response_distillation(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    return few_labels(seed) | started(seed)
