"""Numbers of lab 3.11 that need several seeds.

    python -m reference_impl.distillation.progressive_tables        # notebook 01, about 20 minutes of one core

prints a Markdown table: a chain with an assistant against one teacher, at equal steps of all stages together.
Perplexity is on the first 256 validation blocks of 64 tokens, lower is better; every entry is a mean over three seeds
with the smallest and the largest.
"""

from torch import Tensor, nn

from labkit import data, evaluation, runtime, training, zoo
from reference_impl.distillation.assistants import distill_chain

SEEDS, TOKENS = 3, 64
RATES = {64: 8e-3, 32: 1e-2}


def text(split: str, limit: int | None = None) -> dict[str, Tensor]:
    """Blocks of 64 tokens."""
    return data.tensors(data.prose()[split], length=TOKENS, limit=limit)


def show(name: str, runs: list[float]) -> None:
    """Print a row."""
    middle = sum(runs) / len(runs)
    print(f"| {name} | {middle:.2f} ({min(runs):.2f} to {max(runs):.2f}) |", flush=True)


def narrow(width: int, seed: int) -> nn.Module:
    """A Llama of two layers, as in notebook 01."""
    return zoo.build("llama", seed=seed, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=2)


def main() -> None:
    """Print a row for each number of steps and each way to teach."""
    runtime.start(seed=0)
    teacher, train, judged = zoo.load("llama"), text("train"), text("validation", 256)

    def chain(widths: list[int], steps: list[int], seed: int) -> float:
        networks = [teacher, *(narrow(width, seed) for width in widths)]
        distill_chain(networks, train, steps, [RATES[width] for width in widths], seed=seed)
        return evaluation.quality(networks[-1], judged)[1]

    for total in (120, 480, 1920):
        runs: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            half, student = total // 2, narrow(32, seed)
            training.fit(student, train, steps=total, learning_rate=1e-2, batch=16, seed=seed)
            runs.setdefault("text alone", []).append(evaluation.quality(student, judged)[1])
            runs.setdefault("direct", []).append(chain([32], [total], seed))
            runs.setdefault("direct, the last stage's steps", []).append(chain([32], [half], seed))
            runs.setdefault("128, 64, 32", []).append(chain([64, 32], [half, half], seed))
        for name, values in runs.items():
            show(f"{total} | {name}", values)


if __name__ == "__main__":
    main()
