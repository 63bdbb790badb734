"""The steps that make the file: structure, distillation, export, 8 bits; each leaves something that can be measured."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from labkit import data, evaluation, training, zoo
from reference_impl.distillation.student_init import init_from_teacher
from reference_impl.results.onnx_files import in_batches, inputs_of, write_float, write_int8

UNITS, LAYER = 128, 3
"""Inner units of the student, and the teacher's layer that it starts as (lab 3.9, notebook 04)."""
STEPS, CALIBRATION = 120, 64


@dataclass(frozen=True)
class Step:
    """What a step made: its name and an ONNX file."""

    name: str
    path: Path


def started(teacher: nn.Module) -> nn.Module:
    """A student of one layer, cut out of the teacher."""
    student = zoo.build("bert", attention="eager", num_hidden_layers=1, intermediate_size=UNITS)
    student.load_state_dict(init_from_teacher(teacher.state_dict(), [LAYER], UNITS))
    return student.eval()


def distilled(teacher: nn.Module, student: nn.Module) -> nn.Module:
    """The student after training on the teacher's answers to the training sentences; no label is used."""
    inputs = inputs_of(data.tensors(data.languages()["train"]))
    answers = evaluation.logits(teacher, inputs).argmax(dim=-1)
    training.fit(student, {**inputs, "labels": answers}, steps=STEPS, learning_rate=1e-3)
    return student


def build(folder: Path) -> list[Step]:
    """Write one ONNX file for each step into a folder; the last one is deployed."""
    teacher = zoo.load("bert", attention="eager").eval()
    rows = inputs_of(data.tensors(data.languages()["train"], limit=CALIBRATION))
    batches = in_batches(rows)
    steps = []

    def add(name: str, network: nn.Module) -> Path:
        path = folder / f"{len(steps)}.onnx"
        write_float(network, batches[0], path)
        steps.append(Step(name, path))
        return path

    add("float32, four layers", teacher)
    student = started(teacher)
    add("cut to one layer, 128 inner units", student)
    source = add("distilled, 120 steps", distilled(teacher, student))
    target = folder / f"{len(steps)}.onnx"
    write_int8(source, target, batches)
    return [*steps, Step("8-bit integers", target)]
