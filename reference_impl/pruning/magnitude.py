"""Magnitude scores and the sparsity of a model (Han et al. 2015, arXiv 1506.02626, section 3)."""

from torch import Tensor, nn


def magnitude_scores(model: nn.Module) -> dict[str, Tensor]:
    """Score every prunable weight of a model by its absolute value.

    Prunable are the weights of `nn.Linear` and of GPT-2's `Conv1D` (`transformers.pytorch_utils`), at every
    depth. Not prunable are biases, norms and embeddings, and a layer whose weight is the very tensor of an
    `nn.Embedding` (a tied `lm_head`): pruning it would prune the embedding.

    Args:
        model: is not changed.

    Returns:
        For the name of each prunable layer, such as "bert.encoder.layer.0.output.dense", in the order of
        `model.named_modules()`, a detached tensor of the weight's shape and dtype with absolute values. It
        shares no memory with the weight.
    """
    ### BEGIN SOLUTION
    from transformers.pytorch_utils import Conv1D

    embeddings = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
    scores = {}
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, Conv1D)) and id(layer.weight) not in embeddings:
            scores[name] = layer.weight.detach().abs()
    return scores
    ### END SOLUTION


def sparsity(model: nn.Module, names: list[str]) -> float:
    """Return the share of zeros among the weights of the named layers, 0 to 1.

    Biases do not count, nor does any other parameter of the model.

    Args:
        model: is not changed.
        names: of layers with a `weight`; each entry of each of their weights counts once.

    Raises:
        ValueError: there are no names.
    """
    ### BEGIN SOLUTION
    if not names:
        raise ValueError("name at least one layer: the sparsity of nothing is not defined")
    weights = [model.get_submodule(name).weight.detach() for name in names]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)
    ### END SOLUTION
