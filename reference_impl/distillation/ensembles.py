"""Several teachers for one student: their answers, how far each is believed, and the loss.

Hinton et al. 2015 (arXiv 1503.02531, section 3) distil an ensemble; You et al. 2017 (KDD, "Learning from Multiple
Teacher Networks") average softened probabilities. Here every example has its own weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def teacher_logits(teachers: Sequence[nn.Module], pictures: Tensor, *, batch: int = 500) -> Tensor:
    """What each teacher answers, asked once for every picture.

    Each teacher is in eval mode and without gradient while it answers, and comes out in the mode it came in
    (`training` as before), with the parameters and buffers it came with.

    Args:
        teachers: networks of `transformers`; called with `pixel_values=`, they have `.logits` (batch, classes).
        pictures: (n, channels, height, width).
        batch: pictures a call, the last one fewer.

    Returns:
        Logits (n, teachers, classes), in the order of the pictures and of the teachers.
    """
    ### BEGIN SOLUTION
    answers = []
    for teacher in teachers:
        mode = teacher.training
        teacher.eval()
        with torch.no_grad():
            parts = [teacher(pixel_values=part).logits for part in pictures.split(batch)]
        teacher.train(mode)
        answers.append(torch.cat(parts))
    return torch.stack(answers, dim=1)
    ### END SOLUTION


def combine_probabilities(logits: Tensor, weights: Tensor, temperature: float = 1.0) -> Tensor:
    """Soften each teacher's answer, then take the weighted mean of the probabilities.

    Args:
        logits: of the teachers, (n, teachers, classes).
        weights: (n, teachers), at least 0, each row sums to 1.
        temperature: above 0.

    Returns:
        Probabilities (n, classes).
    """
    ### BEGIN SOLUTION
    softened = (logits / temperature).softmax(dim=-1)
    return (weights.unsqueeze(-1) * softened).sum(dim=1)
    ### END SOLUTION


def confidence_weights(logits: Tensor, sharpness: float) -> Tensor:
    """Believe, for each example, the teachers that are sure more than those that are not.

    A teacher's doubt is the entropy of its probabilities (temperature 1) over log(classes): 0 for a teacher that
    gives one class all, 1 for one that gives each the same. Its weight is proportional to
    exp(-sharpness * doubt). A probability of 0 adds nothing to the entropy.

    Args:
        logits: of the teachers, (n, teachers, classes).
        sharpness: 0 or more; 0 makes all weights 1 / teachers.

    Returns:
        Weights (n, teachers); each row sums to 1.
    """
    ### BEGIN SOLUTION
    logs = logits.log_softmax(dim=-1)
    entropy = -torch.where(logs.exp() > 0, logs.exp() * logs, 0.0).sum(dim=-1)
    doubt = entropy / torch.tensor(float(logits.shape[-1])).log()
    return (-sharpness * doubt).softmax(dim=1)
    ### END SOLUTION


def multi_teacher_loss(student: Tensor, teachers: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """The distillation loss with the teachers' combined answer as its target.

    temperature ** 2 times the mean over examples of KL(combined || student), both at that temperature, where
    combined is `combine_probabilities(teachers, weights, temperature)`. 0 where the student's softened probabilities
    are the combined ones.

    Args:
        student: logits (n, classes).
        teachers: logits (n, teachers, classes).
        weights: (n, teachers), each row sums to 1.
        temperature: above 0.

    Returns:
        A tensor without axes. Its gradient reaches `student`, and neither `teachers` nor `weights`.
    """
    ### BEGIN SOLUTION
    target = combine_probabilities(teachers, weights, temperature).detach()
    own = (student / temperature).log_softmax(dim=-1)
    return temperature**2 * nn.functional.kl_div(own, target, reduction="batchmean")
    ### END SOLUTION
