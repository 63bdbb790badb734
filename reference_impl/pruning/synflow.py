"""SynFlow: iterative pruning by synaptic flow, without data, in which no layer runs dry first."""

import copy

import torch
from torch import Tensor, nn


def synflow_scores(model: nn.Module, example: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Return the synaptic flow through each weight: |w| ⊙ ∂R/∂|w|, R the sum of the outputs of the network of |w|.

    The network is a copy of the model in float64 and eval mode in which every parameter, biases too, is replaced by
    its absolute value. Its input is one row of ones. No data and no labels are used.

    Args:
        model: takes one tensor and returns one; is not changed.
        example: an input of the model, of which only the shape counts; its first dimension is
            that of rows.
        names: parameters by the names of `model.get_parameter`.

    Returns:
        A float64 tensor of the parameter's shape for each name, ≥ 0, without a graph.

    Paper: Tanaka et al. 2020 (arXiv 2006.05467), equation 2 and algorithm 1.
    """
    ### BEGIN SOLUTION
    positive = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    weights = [positive.get_parameter(name).requires_grad_() for name in names]
    flow = positive(torch.ones(1, *example.shape[1:], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights)
    return {
        name: weight.detach() * gradient
        for name, weight, gradient in zip(names, weights, gradients, strict=True)
    }
    ### END SOLUTION


def synflow_mask(
    model: nn.Module, example: Tensor, names: list[str], sparsity: float, *, rounds: int = 100
) -> dict[str, Tensor]:
    """Return masks found by SynFlow in many rounds, each on the network that the round before has left.

    Round r of 1 … `rounds` leaves n - round((1 - (1 - sparsity)^(r / rounds)) * n) of the n weights of `names`, those
    with the largest `synflow_scores` of a copy of the model whose weights are those of `model` times the
    masks of the round before. What a round has removed stays removed, also where scores are equal.

    Args:
        model, example, names: as in `synflow_scores`.
        sparsity: 0 ≤ sparsity < 1.
        rounds: at least 1.

    Returns:
        For each name a float32 tensor of the parameter's shape: 1 where a weight stays, 0 where it goes.

    Paper: Tanaka et al. 2020 (arXiv 2006.05467), algorithm 1.
    """
    ### BEGIN SOLUTION
    masks = {name: torch.ones(model.get_parameter(name).shape) for name in names}
    sizes = [mask.numel() for mask in masks.values()]
    for round_number in range(1, rounds + 1):
        pruned = copy.deepcopy(model)
        with torch.no_grad():
            for name, mask in masks.items():
                pruned.get_parameter(name).mul_(mask)
        scores = synflow_scores(pruned, example, names)
        # a removed weight scores -1, below a weight that is left and carries no flow
        flat = torch.cat([torch.where(masks[name] > 0, scores[name], -1.0).flatten() for name in names])
        keep = torch.ones(sum(sizes))
        removed = round((1 - (1 - sparsity) ** (round_number / rounds)) * sum(sizes))
        keep[flat.argsort()[:removed]] = 0
        parts = keep.split(sizes)
        masks = {name: part.reshape(masks[name].shape) for name, part in zip(names, parts, strict=True)}
    return masks
    ### END SOLUTION
