"""Students that start as a part of their teacher."""

import copy

import pytest
import torch
from torch import nn

from labkit import compat, evaluation, zoo
from reference_impl.distillation.student_init import compression_ratio, distill_config, init_from_teacher


@pytest.mark.parametrize(("layers", "inner"), [([0, 1, 2, 3], 384), ([0, 2], 384), ([3], 40), ([1, 3], 96)])
def test_the_state_fits_a_student(layers: list[int], inner: int) -> None:
    state = zoo.load("bert").state_dict()
    before = copy.deepcopy(state)
    student = zoo.build("bert", num_hidden_layers=len(layers), intermediate_size=inner)
    made = init_from_teacher(state, layers, inner)
    student.load_state_dict(made)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    for value in made.values():
        if value.is_floating_point():
            value.zero_()
    assert all(torch.equal(value, before[key]) for key, value in state.items())


def test_everything_kept_is_the_teacher() -> None:
    teacher = zoo.load("bert")
    student = zoo.build("bert").eval()
    student.load_state_dict(init_from_teacher(teacher.state_dict(), [0, 1, 2, 3], 384))
    inputs = {"input_ids": torch.arange(1, 9)[None], "attention_mask": torch.ones(1, 8, dtype=torch.long)}
    with torch.no_grad():
        torch.testing.assert_close(student(**inputs).logits, teacher(**inputs).logits)


def test_units_without_effect_go_first() -> None:
    teacher = zoo.build("bert").eval()
    for layer in teacher.bert.encoder.layer:
        with torch.no_grad():
            layer.output.dense.weight[:, 100:300] = 0
    student = zoo.build("bert", intermediate_size=184).eval()
    student.load_state_dict(init_from_teacher(teacher.state_dict(), [0, 1, 2, 3], 184))
    inputs = {"input_ids": torch.arange(1, 9)[None]}
    with torch.no_grad():
        torch.testing.assert_close(student(**inputs).logits, teacher(**inputs).logits, atol=1e-5, rtol=0)


class Tied(nn.Module):
    """An embedding whose weight is the output layer's too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.inner = nn.Embedding(50, width), nn.Linear(width, width)
        self.out = nn.Linear(width, 50, bias=False)
        self.out.weight = self.tokens.weight


def test_ratios_count_a_tied_parameter_once() -> None:
    ratio = compression_ratio(Tied(20), Tied(10))
    assert ratio == {
        "total": (50 * 20 + 20 * 20 + 20) / (50 * 10 + 10 * 10 + 10),
        "without embeddings": (20 * 20 + 20) / (10 * 10 + 10),
    }


def test_ratios_of_the_classifier() -> None:
    teacher, student = zoo.load("bert"), zoo.build("bert", num_hidden_layers=1, intermediate_size=128)
    wanted = evaluation.parameter_count(teacher) / evaluation.parameter_count(student)
    assert compression_ratio(teacher, student)["total"] == wanted


def test_textbrewer_takes_the_settings() -> None:
    textbrewer = compat.load_textbrewer()
    made = distill_config([1, 3], temperature=4.0, hidden_weight=0.5)
    assert [(m["layer_T"], m["layer_S"]) for m in made["intermediate_matches"]] == [(0, 0), (2, 1), (4, 2)]
    config = textbrewer.DistillationConfig(**made)
    assert config.temperature == 4.0 and config.hard_label_weight == 0
    assert len(config.intermediate_matches) == 3
