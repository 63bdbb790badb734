"""A network as its own teacher: generations of one architecture, and exits that learn from the last one.

Furlanello et al. 2018, Born Again Neural Networks (arXiv 1805.04770); Zhang et al. 2019, Be Your Own Teacher (arXiv
1905.08094).
"""

from collections.abc import Callable

from torch import Tensor, nn

from labkit import evaluation, training


def born_again(
    build: Callable[[int], nn.Module],
    labelled: dict[str, Tensor],
    pictures: Tensor,
    *,
    generations: int,
    steps: int,
    learning_rate: float = 2e-3,
    batch: int = 64,
    seed: int = 0,
) -> list[nn.Module]:
    """Train a network on labels, then each next one of the same architecture on the answers of the one before.

    Generation 0 is `build(seed)`, trained with `labkit.training.fit` on `labelled`. Generation g > 0 is
    `build(seed + g)`, a fresh network, trained with `labkit.training.fit` on `pictures`; its `criterion` is the mean
    over the batch of the cross-entropy with the probabilities (temperature 1) that generation g - 1 gives, in eval
    mode and without gradient. Those answers are computed once, before the generation trains. `fit` gets `steps`,
    `learning_rate`, `batch` and the seed `seed + g`, and the rows in the order they came in. No generation changes
    after it was trained.

    Args:
        build: makes an untrained network from a seed; the network is called with `pixel_values=` and has `.logits`.
        labelled: `pixel_values` (n, channels, height, width) and `labels` (n,).
        pictures: (m, channels, height, width), no labels.
        generations: how many follow generation 0; at least 0.
        steps: optimizer steps of each generation.
        learning_rate: of the first step of each.
        batch: rows a step.
        seed: of generation 0.

    Returns:
        generations + 1 networks in eval mode, the oldest first.
    """
    ### BEGIN SOLUTION
    settings = {"steps": steps, "learning_rate": learning_rate, "batch": batch}
    family = [build(seed)]
    training.fit(family[0], labelled, seed=seed, **settings)
    for generation in range(1, generations + 1):
        answers = evaluation.logits(family[-1].eval(), {"pixel_values": pictures}).softmax(dim=-1).detach()
        child = build(seed + generation)
        training.fit(
            child,
            {"pixel_values": pictures, "answers": answers},
            seed=seed + generation,
            criterion=lambda network, rows: nn.functional.cross_entropy(
                network(pixel_values=rows["pixel_values"]).logits, rows["answers"]
            ),
            **settings,
        )
        family.append(child)
    return family
    ### END SOLUTION


def early_exit_loss(exits: Tensor, labels: Tensor, *, temperature: float, alpha: float) -> Tensor:
    """The loss of a network with several exits: labels for all, and the last exit as a teacher of the others.

    The last exit's part is its cross-entropy with the labels. Each other exit's part is (1 - alpha) times its
    cross-entropy with the labels, plus alpha times temperature ** 2 times KL(last || exit) of the softened
    probabilities. Each is a mean over examples; the parts are added. The last exit is a target in the second term
    and gets no gradient from it. An example with the label -100 has no label: means of cross-entropies are over the
    examples that have one, and 0 when none has; the KL is over all. (Zhang et al. 2019, loss
    sources 1 and 2; the paper's third, a hint on features, is left out.)

    Args:
        exits: logits (exits, n, classes), the last exit last.
        labels: int64 (n,); -100 stands for "no label".
        temperature: above 0, of the KL only.
        alpha: 0 to 1.

    Returns:
        A tensor without axes.
    """
    ### BEGIN SOLUTION
    known = labels != -100
    target = (exits[-1].detach() / temperature).softmax(dim=-1)
    total = exits.sum() * 0
    for number, logits in enumerate(exits):
        last = number == len(exits) - 1
        if known.any():
            hard = nn.functional.cross_entropy(logits[known], labels[known])
            total = total + (hard if last else (1 - alpha) * hard)
        if not last:
            own = (logits / temperature).log_softmax(dim=-1)
            total = total + alpha * temperature**2 * nn.functional.kl_div(own, target, reduction="batchmean")
    return total
    ### END SOLUTION


def exit_early(exits: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Leave at the first exit that is sure enough, at the last one if none is.

    An exit is sure enough when its largest probability (temperature 1) is at least `confidence`.

    Args:
        exits: logits (exits, n, classes), the last exit last.
        confidence: 0 to 1, or above 1 to always go to the end.

    Returns:
        The chosen exits' most probable classes, int64 (n,), and the chosen exits' numbers from 0, int64 (n,).
    """
    ### BEGIN SOLUTION
    sure = exits.softmax(dim=-1).amax(dim=-1) >= confidence
    sure[-1] = True
    chosen = sure.int().argmax(dim=0)
    return exits.argmax(dim=-1).gather(0, chosen.unsqueeze(0)).squeeze(0), chosen
    ### END SOLUTION
