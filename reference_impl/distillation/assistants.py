"""Teacher assistants: a chain of students, each taught by the one before (Mirzadeh et al. 2019, arXiv 1902.03393)."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from labkit import training


def assistant_sizes(teacher: int, student: int, assistants: int, *, multiple: int = 1) -> list[int]:
    """Sizes from a teacher to its student in equal ratios.

    Args:
        teacher: size of the teacher: a width, or any other whole number that measures a network.
        student: size of the student, at least 1 and below `teacher`.
        assistants: networks between the two, 0 or more.
        multiple: the size of an assistant is a multiple of this, for instance 8 heads of even width 2 make 16.

    Returns:
        `assistants + 2` ints. The first is `teacher` and the last `student`, as given. The size of assistant i, for
        i = 1, 2, ..., is the multiple of `multiple` nearest to
        `teacher * (student / teacher) ** (i / (assistants + 1))`, by Python's `round` of the quotient. Each size is
        computed from the ends, not from the rounded size before.

    Raises:
        ValueError: the sizes do not strictly decrease, after rounding too.
    """
    ### BEGIN SOLUTION
    ratio = student / teacher
    between = [
        multiple * round(teacher * ratio ** (place / (assistants + 1)) / multiple)
        for place in range(1, assistants + 1)
    ]
    sizes = [teacher, *between, student]
    if any(after >= before for before, after in pairwise(sizes)):
        raise ValueError(f"the sizes {sizes} do not decrease strictly")
    return sizes
    ### END SOLUTION


def token_divergence(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """How far a language model's predictions are from its teacher's, a mean over tokens.

    Args:
        student: logits (batch, tokens, vocabulary).
        teacher: logits of the same shape; no gradient reaches them.
        temperature: above 0; both logits are divided by it.

    Returns:
        temperature ** 2 times the mean, over the batch * tokens positions, of the divergence
        sum over the vocabulary of p_teacher * (log p_teacher - log p_student), in nats. A tensor without axes. The
        last position counts like every other: the teacher answers there too, although no next token is known.
    """
    ### BEGIN SOLUTION
    own = (student / temperature).log_softmax(-1).flatten(0, -2)
    wanted = (teacher.detach() / temperature).log_softmax(-1).flatten(0, -2)
    divergence = nn.functional.kl_div(own, wanted, log_target=True, reduction="batchmean")
    return temperature**2 * divergence
    ### END SOLUTION


def distill_chain(
    networks: list[nn.Module],
    rows: Mapping[str, Tensor],
    steps: list[int],
    learning_rates: list[float],
    *,
    temperature: float = 1.0,
    batch: int = 16,
    seed: int = 0,
) -> list[list[float]]:
    """Train a chain of networks in place, each on what the one before it answers.

    Stage i, for i = 1, 2, ..., trains `networks[i]` for `steps[i - 1]` steps on the answers of `networks[i - 1]` as
    it is after its own stage; `networks[0]` is the teacher and is not trained. The stages run in this order. The only
    loss is `token_divergence` of the two networks' logits; the text's own next tokens are not used.

    Stage i is `labkit.training.fit(networks[i], rows, steps=steps[i - 1], learning_rate=learning_rates[i - 1],
    batch=batch, seed=seed + i, criterion=...)`. In each step `networks[i - 1]` answers the same batch once, in eval
    mode and without gradient. At the end every network is in eval mode.

    Args:
        networks: two or more; models of `transformers`, called with a batch as keywords, have `.logits`.
        rows: as of `labkit.data.tensors`, inputs only.
        steps: optimizer steps of each stage, one fewer than there are networks.
        learning_rates: of the first step of each stage, as many as `steps`.
        temperature: above 0.
        batch: rows a step.
        seed: stage i uses `seed + i`.

    Returns:
        For each stage the loss of each of its steps, as `training.fit` gives them.
    """
    ### BEGIN SOLUTION
    histories = []
    for stage, (guide, learner) in enumerate(pairwise(networks), start=1):
        guide.eval()

        def criterion(model: nn.Module, inputs: dict[str, Tensor], guide: nn.Module = guide) -> Tensor:
            with torch.no_grad():
                answers = guide(**inputs).logits
            return token_divergence(model(**inputs).logits, answers, temperature=temperature)

        histories.append(
            training.fit(
                learner,
                rows,
                steps=steps[stage - 1],
                learning_rate=learning_rates[stage - 1],
                batch=batch,
                seed=seed + stage,
                criterion=criterion,
            )
        )
    return histories
    ### END SOLUTION
