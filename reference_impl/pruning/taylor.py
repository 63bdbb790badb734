"""First-order Taylor scores: how far each example's loss moves, to first order, when a weight goes."""

from torch import Tensor


def taylor_scores(weight: Tensor, gradients: Tensor) -> Tensor:
    """Return the mean over examples of |w g_i|: the size of the first-order change of each example's loss.

    The absolute value is taken of each example and then the mean. At a trained point the gradients of the examples
    cancel, so the absolute value of their mean says nearly nothing.

    Args:
        weight: any shape.
        gradients: (examples, *weight's shape), row i the gradient of example i's loss; examples ≥ 1.

    Returns:
        A tensor of the weight's shape, ≥ 0, not normalised.

    Paper: Molchanov et al. 2017 (arXiv 1611.06440), equations 7 and 8, there for a feature map.
    """
    ### BEGIN SOLUTION
    return (weight * gradients).abs().mean(0)
    ### END SOLUTION
