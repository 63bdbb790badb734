"""What the distillation loss is made of: decoupled distillation and label smoothing."""

import torch
from torch import Tensor


def tckd(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Target-class distillation: how far the two are apart about "the label or not", for each example.

    Args:
        student: logits (batch, classes).
        teacher: logits (batch, classes).
        labels: int64 (batch,), in 0 .. classes - 1.
        temperature: above 0, for both.

    Returns:
        (batch,): with p the softened probability of the label, the divergence KL((p_t, 1 - p_t) || (p_s, 1 - p_s)),
        teacher first, in nats. Finite also where p is so near to 1 that 1 - p is 0 in its dtype.

    Zhao et al. 2022 (arXiv 2203.08679), equation 4, first term.
    """
    ### BEGIN SOLUTION
    pairs = []
    for logits in (teacher, student):
        logs = (logits / temperature).log_softmax(-1)
        target = logs.gather(-1, labels[:, None])
        others = logs.scatter(-1, labels[:, None], float("-inf")).logsumexp(-1, keepdim=True)
        pairs.append(torch.cat([target, others], dim=-1))
    return (pairs[0].exp() * (pairs[0] - pairs[1])).sum(-1)
    ### END SOLUTION


def nckd(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Non-target-class distillation: how far the two are apart about the wrong classes, for each example.

    Args:
        student: logits (batch, classes), classes 3 or more.
        teacher: logits (batch, classes).
        labels: int64 (batch,), in 0 .. classes - 1.
        temperature: above 0, for both.

    Returns:
        (batch,): KL(teacher || student) in nats between the softened probabilities of the classes other than the
        label, divided by their sum so that they sum to 1.

    Zhao et al. 2022 (arXiv 2203.08679), equation 4, second term.
    """
    ### BEGIN SOLUTION
    batch, classes = student.shape
    others = torch.arange(classes) != labels[:, None]
    own, wanted = (
        (logits[others].view(batch, classes - 1) / temperature).log_softmax(-1)
        for logits in (student, teacher)
    )
    return (wanted.exp() * (wanted - own)).sum(-1)
    ### END SOLUTION


def dkd_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float, alpha: float, beta: float
) -> Tensor:
    """Decoupled distillation: both parts of the loss with weights of their own.

    Args:
        student: logits (batch, classes), classes 3 or more; the gradient flows to these.
        teacher: logits (batch, classes); no gradient flows to these.
        labels: int64 (batch,), in 0 .. classes - 1.
        temperature: above 0, for both.
        alpha: weight of the target-class part, 0 or more.
        beta: weight of the part of the other classes, 0 or more.

    Returns:
        A tensor without axes: temperature ** 2 times the mean over the batch of alpha * TCKD + beta * NCKD.

    Zhao et al. 2022 (arXiv 2203.08679), equation 7, with the factor of Hinton et al. 2015.
    """
    ### BEGIN SOLUTION
    fixed = teacher.detach()
    target_part = tckd(student, fixed, labels, temperature)
    other_part = nckd(student, fixed, labels, temperature)
    return temperature**2 * (alpha * target_part + beta * other_part).mean()
    ### END SOLUTION


def label_smoothing_loss(logits: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Cross-entropy with a little of the target spread over all classes.

    Args:
        logits: (batch, classes).
        labels: int64 (batch,), in 0 .. classes - 1.
        epsilon: share that is spread, 0 to 1. All classes get epsilon / classes of it, the label too.

    Returns:
        A tensor without axes, the mean over the batch in nats:
        (1 - epsilon) * cross-entropy with the label + epsilon * cross-entropy with the uniform distribution.

    Szegedy et al. 2016 (arXiv 1512.00567), section 7. Not written with torch's own `label_smoothing`.
    """
    ### BEGIN SOLUTION
    logs = logits.log_softmax(-1)
    label_part = -logs.gather(-1, labels[:, None]).mean()
    return (1 - epsilon) * label_part - epsilon * logs.mean()
    ### END SOLUTION
