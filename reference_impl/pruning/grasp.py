"""GraSP: keep the weights whose removal would weaken the gradient most, before training."""

import torch
from torch import Tensor, nn


def hessian_gradient_product(
    model: nn.Module, batches: list[dict[str, Tensor]], names: list[str], *, temperature: float = 200.0
) -> dict[str, Tensor]:
    """Return H g for each parameter: g and H are the first and second derivatives of the loss in all of `names`.

    The loss is the mean over all rows of all batches of the cross-entropy of logits / temperature with the labels.
    H g is no mean of the batches' own products: g must be that of all rows before H is applied, so there
    are two passes over the batches. The result must not depend on how the rows were split.

    Args:
        model: answers `model(**inputs)` with logits (rows, classes) or with an object that has them as
            `.logits`; inputs are all entries of a batch but "labels". Runs in eval mode and is given
            back in the mode it came in, with every `.grad` as it was. Fused attention has no second derivative:
            build the model with `attention="eager"`.
        batches: each with "labels" (rows,) int64; at least one.
        names: parameters by the names of `model.get_parameter`.
        temperature: above 0.

    Returns:
        A tensor of the parameter's shape and dtype for each name, without a graph.

    Paper: Wang et al. 2020, GraSP (arXiv 2002.07376), section 4 and algorithm 2.
    """
    ### BEGIN SOLUTION
    weights = [model.get_parameter(name) for name in names]
    rows = sum(len(batch["labels"]) for batch in batches)

    def gradients(batch: dict[str, Tensor], with_graph: bool) -> list[Tensor]:
        answer = model(**{key: value for key, value in batch.items() if key != "labels"})
        logits = getattr(answer, "logits", answer) / temperature
        share = nn.functional.cross_entropy(logits, batch["labels"], reduction="sum") / rows
        return list(torch.autograd.grad(share, weights, create_graph=with_graph))

    was_training = model.training
    model.eval()
    try:
        total = [torch.zeros_like(weight) for weight in weights]
        for batch in batches:
            for part, gradient in zip(total, gradients(batch, False), strict=True):
                part += gradient
        products = [torch.zeros_like(weight) for weight in weights]
        for batch in batches:
            along = sum(
                (gradient * fixed).sum()
                for gradient, fixed in zip(gradients(batch, True), total, strict=True)
            )
            for part, product in zip(products, torch.autograd.grad(along, weights), strict=True):
                part += product
    finally:
        model.train(was_training)
    return dict(zip(names, products, strict=True))
    ### END SOLUTION


def grasp_scores(
    model: nn.Module, batches: list[dict[str, Tensor]], names: list[str], *, temperature: float = 200.0
) -> dict[str, Tensor]:
    """Return S = -θ ⊙ H g for each parameter: twice S is, to first order, what its removal adds to gᵀg.

    A large score says that the gradient gets stronger, or loses least, without the weight; such weights go.

    Args:
        model, batches, names, temperature: as in `hessian_gradient_product`, which may be called.

    Returns:
        A tensor of the parameter's shape for each name, of either sign, without a graph and not normalised.

    Paper: Wang et al. 2020 (arXiv 2002.07376), equation 8.
    """
    ### BEGIN SOLUTION
    products = hessian_gradient_product(model, batches, names, temperature=temperature)
    return {name: -model.get_parameter(name).detach() * product for name, product in products.items()}
    ### END SOLUTION


def grasp_mask(scores: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """Return a mask for each layer that removes the highest scores of the whole network.

    Args:
        scores: as of `grasp_scores`; compared across names, with their signs.
        sparsity: 0 to 1 (both possible); exactly round(sparsity * n) of all n weights are removed, also where
            scores are equal; which of equal ones go is free.

    Returns:
        For each name a float32 tensor of the scores' shape: 1 where a weight stays, 0 where it goes.

    Raises:
        ValueError: `sparsity` is not between 0 and 1.

    Paper: Wang et al. 2020 (arXiv 2002.07376), algorithm 1.
    """
    ### BEGIN SOLUTION
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity is {sparsity}; 0 to 1 is possible")
    flat = torch.cat([score.flatten() for score in scores.values()])
    keep = torch.ones(len(flat))
    keep[flat.argsort(descending=True)[: round(sparsity * len(flat))]] = 0
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}
    ### END SOLUTION
