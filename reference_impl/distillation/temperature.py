"""Softened distributions, and the loss that compares two of them (Hinton et al. 2015, arXiv 1503.02531)."""

import torch
from torch import Tensor


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities of logits at a temperature.

    Args:
        logits: (..., classes), any finite values.
        temperature: above 0; `ValueError` otherwise.

    Returns:
        The softmax of `logits / temperature` over the last axis, in the logits' shape and dtype.

    Hinton et al. 2015, equation 1.
    """
    ### BEGIN SOLUTION
    if temperature <= 0:
        raise ValueError(f"the temperature is {temperature}; it must be above 0")
    return (logits / temperature).softmax(-1)
    ### END SOLUTION


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy of each distribution in bits.

    Args:
        probabilities: (..., classes), each row sums to 1; zeros are allowed and add nothing.

    Returns:
        (...), the sum of -p log2 p over the last axis, in the dtype of the probabilities.
    """
    ### BEGIN SOLUTION
    return -torch.where(probabilities > 0, probabilities * probabilities.clamp_min(1e-38).log2(), 0.0).sum(-1)
    ### END SOLUTION


def kd_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T squared times the divergence from the student's softened probabilities to the teacher's.

    Args:
        student: logits (batch, classes); the gradient flows to these.
        teacher: logits (batch, classes); no gradient flows to these.
        temperature: above 0, for both.

    Returns:
        A tensor without axes: temperature ** 2 times the mean over the batch of KL(teacher || student), in nats.
        There is no cross-entropy with labels in it. It stays finite when a probability is too small for its
        dtype, because it is made of log-probabilities.

    Hinton et al. 2015, section 2; the factor keeps the size of the gradient (section 2.1).
    """
    ### BEGIN SOLUTION
    own = (student / temperature).log_softmax(-1)
    wanted = (teacher.detach() / temperature).log_softmax(-1)
    return temperature**2 * (wanted.exp() * (wanted - own)).sum(-1).mean()
    ### END SOLUTION


def kd_gradient(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The gradient of `kd_loss` for the student's logits, written out.

    Args:
        student: logits (batch, classes).
        teacher: logits (batch, classes).
        temperature: above 0.

    Returns:
        (batch, classes): temperature / batch times the difference of the softened probabilities, the student's
        less the teacher's. No automatic differentiation is used.

    Hinton et al. 2015, equation 2, times T squared.
    """
    ### BEGIN SOLUTION
    difference = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    return temperature / len(student) * difference
    ### END SOLUTION
