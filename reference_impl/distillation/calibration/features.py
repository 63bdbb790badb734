"""The measured checks of Lab 3.10: a student that follows its teacher's states, and one that beats text alone."""

from functools import cache

import torch
from torch import Tensor, nn

from heldout import prose
from labkit import data, evaluation, training, zoo
from reference_impl.distillation.hidden_inputs_features import CosineMatcher
from reference_impl.distillation.hidden_states import Projection, distill_hidden, hidden_loss
from reference_impl.distillation.language_model import distill_lm
from reference_impl.measured import Measured, entry

TEST_BLOCKS, FOLLOW_STEPS, DISTILL_STEPS, RATE = (256, 400), 80, 120, 2.5e-3


def fresh(seed: int) -> nn.Module:
    """The untrained student."""
    return zoo.build("gpt2", seed=seed, n_embd=64, n_layer=2)


@cache
def ground() -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """The teacher, training blocks and test blocks of 64 tokens."""
    train = data.tensors(data.prose()["train"], length=64)
    return zoo.load("gpt2"), train, data.tensors(prose(), length=64, limit=max(TEST_BLOCKS))["input_ids"]


@torch.no_grad()
def missed(student: nn.Module, projection: nn.Module) -> float:
    """Share of the teacher's states that the projected states miss on test text."""
    teacher, _, test = ground()
    asked = {"input_ids": test[: TEST_BLOCKS[0]], "output_hidden_states": True}
    carried = projection(student.eval()(**asked).hidden_states)
    return float(hidden_loss(carried, teacher(**asked).hidden_states, [2, 4]))


def following(seed: int) -> Measured:
    """Hints through a trained projection, against hints through a frozen one."""
    teacher, train, _ = ground()
    found = []
    for frozen in (False, True):
        student = fresh(seed)
        torch.manual_seed(seed)
        projection = Projection(64, 128, 2).requires_grad_(not frozen)
        distill_hidden(student, teacher, projection, train, weight=3.0, steps=FOLLOW_STEPS, seed=seed)
        found.append(missed(student, projection))
    return {"share of the teacher's hidden states that the student misses": entry(*found, 0.76, "at_most")}


def distilled(seed: int) -> Measured:
    """Soft targets and hidden states, and soft targets alone, against text alone."""
    teacher, train, test = ground()
    rows = {"input_ids": test[: TEST_BLOCKS[1]]}
    alone = fresh(seed)
    training.fit(alone, train, steps=DISTILL_STEPS, learning_rate=RATE, batch=16, seed=seed)
    base = evaluation.quality(alone, rows)[1]
    ratios = []
    for weight in (0.3, 0.0):
        student, matcher = fresh(seed), CosineMatcher(64, 128, [(1, 2), (2, 4)], seed)
        settings = {"temperature": 1.0, "alpha": 0.9, "hidden_weight": weight}
        distill_lm(student, teacher, matcher, train, steps=DISTILL_STEPS, seed=seed, **settings)
        ratios.append(evaluation.quality(student, rows)[1] / base)
    label = "perplexity of the student over that of text alone"
    return {
        label: entry(ratios[0], 1.0, 0.88, "at_most"),
        f"{label}, hidden states over soft targets": entry(ratios[0] / ratios[1], 1.0, 0.98, "at_most"),
    }


def feature_distillation(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    return following(seed) | distilled(seed)
