"""Movement scores: weights that training pushes towards zero go, whatever their size."""

import copy

import torch
from torch import Tensor, nn

from labkit import training


def movement_scores(
    model: nn.Module, batches: list[dict[str, Tensor]], names: list[str], *, learning_rate: float = 0.01
) -> dict[str, Tensor]:
    """Train a copy with plain gradient descent, a step a batch, and return S = -Σ_t w_t ⊙ ∂L_t/∂w_t.

    Step t computes the loss of batch t, `labkit.training.loss`, and its gradient g_t at the weights w_t; adds
    -w_t ⊙ g_t to the scores, with w_t from before the step; then sets w_{t+1} = w_t - learning_rate * g_t.
    Only the parameters in `names` are trained.

    A score is positive where the steps have moved a weight away from 0 and negative where towards it.

    Args:
        model: not changed, and no `.grad` of it; the copy runs in eval mode (no dropout).
        batches: as `labkit.training.loss` takes them, used once each, in order.
        names: parameters by the names of `model.get_parameter`.
        learning_rate: of every step; no momentum, no weight decay.

    Returns:
        A tensor of the parameter's shape and dtype for each name, without a graph; 0 without batches.

    Paper: Sanh et al. 2020, Movement Pruning (arXiv 2005.07683), section 4, with the mask left at 1 while scores are
    gathered.
    """
    ### BEGIN SOLUTION
    trained = copy.deepcopy(model).eval()
    weights = {name: trained.get_parameter(name).requires_grad_() for name in names}
    scores = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for batch in batches:
        gradients = torch.autograd.grad(training.loss(trained, batch), list(weights.values()))
        with torch.no_grad():
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                scores[name] -= weight * gradient
                weight -= learning_rate * gradient
    return {name: score.detach() for name, score in scores.items()}
    ### END SOLUTION
