"""Training on a teacher's answers, with labels for some of the rows (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labkit import training


def mixed_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, alpha: float
) -> dict[str, Tensor]:
    """Soft and hard targets together, where not every row has a label.

    Args:
        student: logits (batch, classes).
        teacher: logits (batch, classes).
        labels: int64 (batch,); -100 stands for "no label".
        temperature: above 0, for the soft targets only.
        alpha: weight of the soft targets, 0 to 1.

    Returns:
        "soft": temperature ** 2 times the mean, over all rows, of the cross-entropy of the student's softened
        probabilities with the teacher's softened probabilities as targets;
        "hard": the mean, over the rows that have a label, of the cross-entropy at temperature 1; 0 when no row
        has one;
        "total": alpha * soft + (1 - alpha) * hard. Tensors without axes; the gradient of "total" reaches
        `student`.

    A cross-entropy with soft targets is their KL divergence plus the targets' entropy, which no student can
    change: the gradients are equal.
    """
    ### BEGIN SOLUTION
    targets = (teacher.detach() / temperature).softmax(-1)
    soft = temperature**2 * nn.functional.cross_entropy(student / temperature, targets)
    known = labels != -100
    hard = nn.functional.cross_entropy(student[known], labels[known]) if known.any() else student.sum() * 0
    return {"soft": soft, "hard": hard, "total": alpha * soft + (1 - alpha) * hard}
    ### END SOLUTION


def distill(
    student: nn.Module,
    teacher: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    temperature: float,
    alpha: float,
    steps: int,
    learning_rate: float = 5e-3,
    batch: int = 64,
    seed: int = 0,
) -> list[float]:
    """Train a student in place on what a teacher answers.

    In every step the next batch goes through the teacher, in eval mode and without gradient, and through the
    student in train mode. `total` of `mixed_loss` is differentiated, the gradient is clipped at norm 1 over all
    parameters (`nn.utils.clip_grad_norm_`), and AdamW with weight decay 0 takes one step with learning rate
    `learning_rate * (1 - step / steps)`, steps counted from 0.

    Batches come from `labkit.training.batches(rows, batch, seed=seed)`; `torch.manual_seed(seed)` is called once
    before the first step, for dropout. The student is left in eval mode. The teacher is left in eval mode with
    the parameters and buffers it came with, and none of its parameters has a gradient.

    Args:
        student: is changed; a model of `transformers`, called with everything but the labels, has `.logits`.
        teacher: of the same kind.
        rows: as of `labkit.data.tensors`; a label of -100 stands for "no label".
        temperature: above 0.
        alpha: weight of the soft targets, 0 to 1.
        steps: optimizer steps.
        learning_rate: of the first step; it falls in a straight line to zero.
        batch: rows a step.
        seed: of the batches and of dropout.

    Returns:
        The total loss of each step, a list of `steps` Python floats.
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.AdamW(student.parameters(), lr=learning_rate, weight_decay=0.0)
    batches = training.batches(rows, batch, seed=seed)
    torch.manual_seed(seed)
    teacher.eval()
    student.train()
    history: list[float] = []
    while len(history) < steps:
        inputs = next(batches)
        labels = inputs.pop("labels")
        with torch.no_grad():
            answers = teacher(**inputs).logits
        logits = student(**inputs).logits
        loss = mixed_loss(logits, answers, labels, temperature=temperature, alpha=alpha)["total"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - len(history) / steps)
        optimizer.step()
        history.append(loss.item())
    student.eval()
    return history
    ### END SOLUTION
