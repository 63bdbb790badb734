"""The figures of textbook chapter 3.3, drawn from the course's own models.

    python -m reference_impl.distillation.figures             # all of them, about ten minutes of one core
    python -m reference_impl.distillation.figures softened    # one

writes `theory/figures/3.3-<name>.svg` and prints the numbers that the chapter quotes.
"""

import copy
import statistics
import sys
from collections.abc import Callable

import torch
from labkit.plots import DescribedFigure
from torch import Tensor, nn

from labkit import data, evaluation, ops, plots, training, zoo
from reference_impl.chapter_figures import draw
from reference_impl.distillation.temperature import kd_loss

NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SEEDS = (0, 1, 2)


def logits(model: nn.Module, rows: dict[str, Tensor]) -> Tensor:
    """The classifier's logits (rows, classes) for pictures, without gradient."""
    return evaluation.logits(model, {"pixel_values": rows["pixel_values"]})


def softened() -> DescribedFigure:
    """The teacher's answer for one shirt at four temperatures."""
    rows = data.tensors(data.fashion()["validation"])
    answers = logits(zoo.load("vit"), rows)
    right = answers.argmax(-1) == rows["labels"]
    shirts = torch.where(right & (rows["labels"] == NAMES.index("shirt")))[0]
    sure = answers[shirts].softmax(-1).amax(-1)
    answer = answers[shirts[sure.argsort()[len(shirts) // 2]]]  # the shirt of median certainty
    figure, axes = plots.figure(
        alt="The teacher's probabilities for one picture of a shirt at temperatures 1, 2, 4 and 8. At 1 four fifths "
        "are on shirt; with the temperature T-shirt, pullover, dress and coat rise above sandal, sneaker and boot."
    )
    for index, temperature in enumerate((1, 2, 4, 8)):
        shown = (answer / temperature).softmax(-1)
        axes.bar(torch.arange(10) + 0.2 * (index - 1.5), shown, width=0.2, label=f"T = {temperature}")
        spread = (answers / temperature).softmax(-1)
        entropy = -(spread * spread.clamp_min(1e-12).log()).sum(-1).mean() / torch.log(torch.tensor(2.0))
        print(
            f"T={temperature}:",
            " ".join(f"{name} {value:.3f}" for name, value in zip(NAMES, shown, strict=True)),
            f"| mean entropy of all rows {entropy:.2f} bits",
        )
    axes.set_xticks(range(10), NAMES, rotation=30, ha="right")
    axes.set_ylabel("probability")
    axes.legend()
    return figure


def gradient() -> DescribedFigure:
    """Size of the gradient of the softened loss against the temperature, with and without the factor T squared."""
    rows = data.tensors(data.fashion()["validation"], limit=256)
    teacher = logits(zoo.load("vit"), rows)
    student = logits(zoo.build("vit", seed=1, num_hidden_layers=2).eval(), rows)
    difference = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    temperatures = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0]
    plain, scaled = [], []
    for temperature in temperatures:
        step = ((student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)) / temperature
        plain.append(float(step.norm(dim=-1).mean()))
        scaled.append(temperature**2 * plain[-1])
        angle = torch.cosine_similarity(step, difference, dim=-1).mean()
        print(
            f"T={temperature:g}: plain {plain[-1]:.5f}, times T^2 {scaled[-1]:.3f}, cosine to logits {angle:.4f}"
        )
    limit = float(difference.norm(dim=-1).mean()) / 10
    print(f"limit |z - v| / classes: {limit:.3f}")
    return plots.lines(
        temperatures,
        {
            "without T squared": plain,
            "with T squared": scaled,
            "matching of logits": [limit] * len(temperatures),
        },
        x_label="temperature",
        y_label="mean length of the gradient",
        log_y=True,
        alt="Mean length of the gradient for the student's logits against temperature. Without the factor it falls as "
        "one over T squared; with it it stays within a factor of 1.6 and approaches that of matching centred logits.",
    )


def student(seed: int, width: int = 32) -> nn.Module:
    """A small ViT of two layers, untrained."""
    return zoo.build("vit", seed=seed, num_hidden_layers=2, hidden_size=width, intermediate_size=4 * width)


def distilled(
    model: nn.Module, rows: dict[str, Tensor], targets: Tensor, *, steps: int, seed: int
) -> nn.Module:
    """Train a student on the teacher's logits for `rows` with T = 2, in place, and return it."""

    def divergence(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        answer = network(pixel_values=batch["pixel_values"]).logits
        return kd_loss(answer, batch["targets"], 2.0)

    taught = {"pixel_values": rows["pixel_values"], "targets": targets}
    training.fit(model, taught, steps=steps, learning_rate=2e-3, seed=seed, criterion=divergence)
    return model


def head(rows: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The first rows."""
    return {key: value[:count] for key, value in rows.items()}


def summary(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def labels() -> DescribedFigure:
    """Accuracy of a small student against its number of labels, alone and with a teacher for the other pictures."""
    train, rows = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
    teacher = zoo.load("vit")
    targets = logits(teacher, train)
    everything = len(train["labels"])
    counts = [50, 100, 200, 500, 1000, 2000, everything]
    alone, taught = [], []
    for count in counts:
        scores = []
        for seed in SEEDS:
            model = student(seed)
            some = head(train, count)
            training.fit(model, some, steps=240, learning_rate=2e-3, batch=min(64, count), seed=seed)
            scores.append(evaluation.quality(model, rows)[1])
        alone.append(statistics.mean(scores))
        print(f"{count} labels, alone: {summary(scores)}")
    kept = []
    for seed in SEEDS:
        kept.append(
            evaluation.quality(distilled(student(seed), train, targets, steps=240, seed=seed), rows)[1]
        )
    taught = [statistics.mean(kept)] * len(counts)
    best = evaluation.quality(teacher, rows)[1]
    print(
        f"teacher {best:.3f}; student with the teacher's answers for {everything} pictures: {summary(kept)}"
    )
    print(f"parameters: {evaluation.parameter_count(teacher)} and {evaluation.parameter_count(student(0))}")
    figure = plots.lines(
        [float(count) for count in counts],
        {
            "student, labels only": alone,
            "student, teacher's answers": taught,
            "teacher": [best] * len(counts),
        },
        x_label="number of labelled pictures (log scale)",
        y_label="validation accuracy",
        alt="Accuracy of a small student against the number of labels. Alone it rises with the labels; with the "
        "teacher's answers for all pictures it needs none and lies where a few thousand labels would put it.",
    )
    figure.axes[0].set_xscale("log")
    return figure


def capacity() -> DescribedFigure:
    """Accuracy and agreement with the teacher against the size of the student."""
    train, rows = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
    teacher = zoo.load("vit")
    targets, answers = logits(teacher, train), logits(teacher, rows).argmax(-1)
    sizes, series = [], {"accuracy": [], "agreement with the teacher, new pictures": []}
    series["agreement, pictures trained on"] = []
    for width in (4, 8, 16, 32, 64):
        scores, same, seen = [], [], []
        for seed in SEEDS:
            model = distilled(student(seed, width), train, targets, steps=240, seed=seed)
            scores.append(evaluation.quality(model, rows)[1])
            same.append(float((logits(model, rows).argmax(-1) == answers).float().mean()))
            seen.append(float((logits(model, train).argmax(-1) == targets.argmax(-1)).float().mean()))
        sizes.append(evaluation.parameter_count(student(0, width)))
        for key, values in zip(series, (scores, same, seen), strict=True):
            series[key].append(statistics.mean(values))
        print(
            f"width {width}, {sizes[-1]} parameters: accuracy {summary(scores)}, agrees {summary(same)}, "
            f"on training pictures {summary(seen)}"
        )
    figure = plots.lines(
        [float(size) for size in sizes],
        series,
        x_label="parameters of the student (log scale)",
        y_label="share of pictures",
        alt="Accuracy and agreement with the teacher against the student's parameters. All rise with size and flatten; "
        "even the largest student disagrees with its teacher on some pictures.",
    )
    figure.axes[0].set_xscale("log")
    return figure


def cka(a: Tensor, b: Tensor) -> float:
    """Linear CKA of two feature matrices (n, d1) and (n, d2), centred (Kornblith et al. 2019, arXiv 1905.00414)."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float((b.T @ a).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm()))


def layers() -> DescribedFigure:
    """CKA between every layer of GPT-2 and every layer of Llama on the same tokens."""
    tokens = data.tensors(data.prose()["validation"], limit=40)["input_ids"]
    states = {}
    for name in ("gpt2", "llama"):
        with torch.no_grad():
            hidden = zoo.load(name)(input_ids=tokens, output_hidden_states=True).hidden_states
        states[name] = [state.flatten(0, 1).double() for state in hidden]
    matrix = [[cka(a, b) for b in states["llama"]] for a in states["gpt2"]]
    for index, row in enumerate(matrix):
        print(f"GPT-2 state {index}:", " ".join(f"{value:.2f}" for value in row))
    print(f"{len(states['gpt2'][0])} tokens")
    figure, axes = plots.figure(
        height=4.2,
        alt="Matrix of CKA between the five hidden states of GPT-2 and those of Llama; a brighter field is more alike. "
        "The two embeddings and the two last states are the most alike pairs.",
    )
    shown = axes.imshow(matrix, vmin=0, vmax=1, cmap="viridis", origin="lower")
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            axes.text(
                j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white"
            )
    axes.set_xlabel("hidden state of Llama (0: embedding)")
    axes.set_ylabel("hidden state of GPT-2")
    axes.grid(visible=False)
    figure.colorbar(shown, ax=axes, label="linear CKA")
    return figure


def directions() -> DescribedFigure:
    """One Gaussian fitted to a mixture of two, by each direction of the KL divergence."""
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    step = x[1] - x[0]
    target = sum(
        share * torch.distributions.Normal(mean, width).log_prob(x).exp()
        for share, mean, width in ((0.6, -2.0, 0.7), (0.4, 2.5, 0.9))
    )
    fits: dict[str, Tensor] = {}
    for label, start in (("forward", 0.0), ("reverse", -2.0), ("reverse, other hump", 2.5)):
        mean = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        log_width = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([mean, log_width], lr=0.02)
        for _ in range(2000):
            log_density = -0.5 * ((x - mean) / log_width.exp()) ** 2 - log_width - 0.9189385332046727
            difference = target.log() - log_density
            weights, sign = (target, 1) if label == "forward" else (log_density.exp(), -1)
            loss = sign * (weights * difference).sum() * step
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(
            f"{label}: mean {mean.item():.2f}, width {log_width.exp().item():.2f}, KL {loss.item():.3f} nats"
        )
        fits[label] = log_density.detach().exp()
    shown = slice(None, None, 80)
    return plots.lines(
        x[shown].tolist(),
        {
            "teacher": target[shown].tolist(),
            "KL(teacher, student)": fits["forward"][shown].tolist(),
            "KL(student, teacher)": fits["reverse"][shown].tolist(),
        },
        x_label="x",
        y_label="density",
        alt="A teacher density with two humps and one Gaussian fitted in two ways. The forward divergence gives a wide "
        "one over both humps with much mass in between; the reverse divergence gives a narrow one on the larger hump.",
    )


def combined() -> DescribedFigure:
    """Accuracy against bytes when distillation and rounding are combined."""
    train, rows = (data.tensors(data.fashion()[split]) for split in ("train", "validation"))
    teacher = zoo.load("vit")
    targets = logits(teacher, train)
    starts = {"teacher": teacher}
    for width in (32, 16):
        starts[f"student of width {width}"] = distilled(student(0, width), train, targets, steps=720, seed=0)
    figure, axes = plots.figure(
        alt="Accuracy against kilobytes for the teacher and two students at 32, 8, 4 and 3 bits a weight. Each "
        "curve is flat down to four bits and drops at three; the students' curves begin where the teacher's end."
    )
    for marker, (label, model) in zip("osv", starts.items(), strict=True):
        sizes, scores = [], []
        for bits in (32, 8, 4, 3):
            rounded = copy.deepcopy(model)
            matrices = sum(layer.weight.numel() for layer in ops.linear_layers(rounded).values())
            if bits < 32:
                ops.snap_weights(rounded, bits=bits)
            others = evaluation.parameter_count(rounded) - matrices
            sizes.append((matrices * bits + others * 32) / 8 / 1000)
            scores.append(evaluation.quality(rounded, rows)[1])
            print(f"{label}, {bits} bits: {sizes[-1]:.0f} kB, accuracy {scores[-1]:.3f}")
        axes.plot(sizes, scores, marker=marker, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("kB (matrices at the given bits, the rest at 32)")
    axes.set_ylabel("validation accuracy")
    axes.legend()
    return figure


FIGURES: dict[str, Callable[[], DescribedFigure]] = {
    made.__name__: made for made in (softened, gradient, labels, capacity, layers, directions, combined)
}


if __name__ == "__main__":
    draw("3.3", FIGURES, sys.argv[1:])
