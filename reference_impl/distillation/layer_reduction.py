"""Fewer layers, in one step or in several (Sajjad et al. 2020, arXiv 2004.03844; DistilBERT, arXiv 1910.01108)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from labkit import training


def shrink_schedule(layers: int, target: int, stages: int) -> list[list[int]]:
    """Which of a model's layers are left after each stage.

    The last stage leaves the layers i * layers // target for i = 0 ... target - 1: evenly spread, layer 0 among them.
    All others are removed on the way, the one with the highest number first. After stage s, for s = 1 ... stages,
    s * (layers - target) // stages of them are gone.

    Args:
        layers: layers of the model, numbered from 0.
        target: layers at the end, 1 to layers - 1.
        stages: 1 to layers - target, so that each stage removes at least one layer.

    Returns:
        For each stage a rising list of the numbers, in the ORIGINAL model, of the layers that are left.

    Raises:
        ValueError: `target` or `stages` is out of range.
    """
    ### BEGIN SOLUTION
    if not 1 <= target < layers or not 1 <= stages <= layers - target:
        raise ValueError(f"{layers} layers can not become {target} in {stages} stages")
    kept = [place * layers // target for place in range(target)]
    leaving = [layer for layer in reversed(range(layers)) if layer not in kept]
    gone = [leaving[: stage * len(leaving) // stages] for stage in range(1, stages + 1)]
    return [[layer for layer in range(layers) if layer not in left] for left in gone]
    ### END SOLUTION


def copy_layers(state: Mapping[str, Tensor], layers: list[int]) -> dict[str, Tensor]:
    """The parameters of a Llama that has some of the layers of another.

    Args:
        state: `state_dict` of a `LlamaForCausalLM`. Keys that begin with `model.layers.<i>.` belong to layer i, for
            i = 0, 1, ... without gaps, also above 9; all others (embedding, last norm, head) belong to no layer.
        layers: layer j of the result is layer `layers[j]` of `state`; one or more, in any order.

    Returns:
        A dict for `load_state_dict` of a model with `len(layers)` layers: their tensors under the numbers 0, 1, ...,
        and every tensor that belongs to no layer under its own key. Each tensor is a copy, detached.
    """
    ### BEGIN SOLUTION
    made = {key: value for key, value in state.items() if not key.startswith("model.layers.")}
    for own, taken in enumerate(layers):
        start = f"model.layers.{taken}."
        for key, value in state.items():
            if key.startswith(start):
                made[f"model.layers.{own}.{key.removeprefix(start)}"] = value
    return {key: value.detach().clone() for key, value in made.items()}
    ### END SOLUTION


def progressive_distill(
    teacher: nn.Module,
    build: Callable[[int], nn.Module],
    schedule: list[list[int]],
    rows: Mapping[str, Tensor],
    steps: list[int],
    *,
    learning_rate: float = 2e-3,
    batch: int = 16,
    seed: int = 0,
) -> list[nn.Module]:
    """Remove layers in stages, and train on the teacher's answers after each.

    Stage s, for s = 0, 1, ..., makes a student `build(len(schedule[s]))` and gives it, with `copy_layers`, the layers
    `schedule[s]` of the model before: of `teacher` in stage 0, of the student of stage s - 1, as trained, after it.
    Numbers in `schedule` are those of the teacher; a layer keeps its place in the order, but not its number, when
    others go. Then `labkit.training.fit(student, rows, steps=steps[s], learning_rate=learning_rate, batch=batch,
    seed=seed + s, criterion=...)` trains it. The criterion is the cross-entropy, mean over all rows and tokens, of the
    student's probabilities with those of `teacher` as targets; in each step the teacher answers the same batch, in
    eval mode and without gradient. `teacher` is the original in every stage. It is left in eval mode, unchanged.

    Args:
        teacher: a `LlamaForCausalLM`, or a model with such keys and `.logits`.
        build: of a number of layers, returns an untrained model.
        schedule: as of `shrink_schedule`.
        rows: as of `labkit.data.tensors`, inputs only.
        steps: optimizer steps of each stage; 0 is allowed.
        learning_rate: of the first step of each stage.
        batch: rows a step.
        seed: stage s uses `seed + s`.

    Returns:
        The student of each stage, in eval mode, as it was at the end of its stage.
    """
    ### BEGIN SOLUTION
    teacher.eval()

    def imitate(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            targets = teacher(**inputs).logits.softmax(-1)
        return nn.functional.cross_entropy(model(**inputs).logits.flatten(0, 1), targets.flatten(0, 1))

    students: list[nn.Module] = []
    source, held = teacher, list(range(max(schedule[0]) + 1))
    for stage, kept in enumerate(schedule):
        student = build(len(kept))
        student.load_state_dict(copy_layers(source.state_dict(), [held.index(layer) for layer in kept]))
        training.fit(
            student,
            rows,
            steps=steps[stage],
            learning_rate=learning_rate,
            batch=batch,
            seed=seed + stage,
            criterion=imitate,
        )
        students.append(student)
        source, held = student, kept
    return students
    ### END SOLUTION
