"""Optimal Brain Damage: the rise of the loss by a diagonal of second derivatives."""

from torch import Tensor


def obd_scores(weight: Tensor, gradients: Tensor) -> Tensor:
    """Return ½ h w² for each weight, with h the diagonal of the Fisher matrix: the mean over examples of g_i².

    The square is taken of each example's gradient and then the mean: the square of the mean gradient is
    near 0 at a trained point.

    Args:
        weight: any shape.
        gradients: (examples, *weight's shape), row i the gradient of example i's loss; examples ≥ 1.

    Returns:
        A tensor of the weight's shape, ≥ 0: what the loss is predicted to rise by if that weight alone is removed.

    Paper: LeCun et al. 1989, Optimal Brain Damage (NeurIPS 2), equation 5, with the Fisher diagonal for the
    second derivatives.
    """
    ### BEGIN SOLUTION
    return 0.5 * gradients.square().mean(0) * weight.square()
    ### END SOLUTION
