"""SNIP: which weights matter before the first training step, by the slope of the loss in a gate on each of them."""

import copy

import torch
from torch import Tensor, nn

from labkit import training


def snip_scores(model: nn.Module, batches: list[dict[str, Tensor]], names: list[str]) -> dict[str, Tensor]:
    """Return each weight's share of the loss's sensitivity: |w ∂L/∂w|, divided by the sum over all of `names`.

    L is the mean cross-entropy over all rows of all batches, `labkit.training.loss` of one batch that holds
    them all. So the result must not depend on how the rows were split, whether or not batches are of one
    size: a batch counts by its rows, and the absolute value is taken once, of the gradient of L.

    Args:
        model: runs in eval mode (no dropout) and is given back in the mode it came in, with its weights and
            every `.grad` as they were.
        batches: as `labkit.training.loss` takes them, at least one.
        names: parameters by the names of `model.get_parameter`, for instance "classifier.weight".

    Returns:
        A tensor of the parameter's shape and dtype for each name, without a graph, all ≥ 0; together
        they sum to 1. Where every product is 0 the scores are 0.

    Raises:
        ValueError: `batches` is empty.

    Paper: Lee et al. 2019, SNIP (arXiv 1810.02340), equations 5 and 6.
    """
    ### BEGIN SOLUTION
    if not batches:
        raise ValueError("no batches were given")
    weights = [model.get_parameter(name) for name in names]
    counts = [len(next(iter(batch.values()))) for batch in batches]
    was_training = model.training
    model.eval()
    try:
        total = [torch.zeros_like(weight) for weight in weights]
        for batch, count in zip(batches, counts, strict=True):
            gradients = torch.autograd.grad(training.loss(model, batch), weights)
            for part, gradient in zip(total, gradients, strict=True):
                part += gradient * (count / sum(counts))
    finally:
        model.train(was_training)
    products = [(weight.detach() * gradient).abs() for weight, gradient in zip(weights, total, strict=True)]
    norm = sum(product.double().sum() for product in products)
    scale = 1 / float(norm) if norm > 0 else 0.0
    return {name: product * scale for name, product in zip(names, products, strict=True)}
    ### END SOLUTION


def snip_mask(scores: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """Return a mask for each layer that keeps the largest scores of the whole network.

    Args:
        scores: a tensor for each name; they are compared across names.
        sparsity: share of all weights to remove, 0 to 1 (both possible). Exactly round(sparsity * n) of the
            n weights are removed, also where scores are equal; which of equal ones go is free.

    Returns:
        For each name a float32 tensor of the scores' shape: 1 where a weight stays, 0 where it goes.

    Raises:
        ValueError: `sparsity` is not between 0 and 1.

    Paper: Lee et al. 2019 (arXiv 1810.02340), algorithm 1.
    """
    ### BEGIN SOLUTION
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity is {sparsity}; 0 to 1 is possible")
    flat = torch.cat([score.flatten() for score in scores.values()])
    keep = torch.ones(len(flat))
    keep[flat.argsort()[: round(sparsity * len(flat))]] = 0
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}
    ### END SOLUTION


def iterative_snip(
    model: nn.Module, batches: list[dict[str, Tensor]], names: list[str], sparsity: float, *, rounds: int = 5
) -> dict[str, Tensor]:
    """Return masks found by SNIP in several rounds, each on the network that the round before has left.

    Round r of 1 … `rounds` leaves n - round((1 - (1 - sparsity)^(r / rounds)) * n) of the n weights, so that each
    leaves the same share of the ones before it. Its scores are `snip_scores` of a copy of the model whose
    weights are those of `model` times the masks of the round before, and it removes the smallest over the
    whole network. A weight that is 0 has score 0, so what was removed stays removed.

    Args:
        model: not changed.
        batches, names: as in `snip_scores`.
        sparsity: share of all weights of `names` to remove in the end, 0 ≤ sparsity < 1.
        rounds: at least 1; 1 is SNIP itself.

    Returns:
        Masks as of `snip_mask`.

    Paper: de Jorge et al. 2020, Progressive Skeletonization (arXiv 2006.09081), section 4, "Iterative SNIP".
    """
    ### BEGIN SOLUTION
    masks = {name: torch.ones(model.get_parameter(name).shape) for name in names}
    for round_number in range(1, rounds + 1):
        pruned = copy.deepcopy(model)
        with torch.no_grad():
            for name, mask in masks.items():
                pruned.get_parameter(name).mul_(mask)
        scores = snip_scores(pruned, batches, names)
        masks = snip_mask(scores, 1 - (1 - sparsity) ** (round_number / rounds))
    return masks
    ### END SOLUTION
