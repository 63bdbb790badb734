"""What a Transformer block costs: its parameters and multiply-accumulates, in closed form and counted."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def block_params(width: int, attention: int, inner: int) -> int:
    """Count the parameters of one Transformer block from its three widths.

    Args:
        width: of the residual stream.
        attention: heads times width of a head; the outputs of query, key and value each.
        inner: hidden channels of the feed-forward block.

    Returns:
        Query, key, value and output projection, the two feed-forward layers, a bias in each of these
        six, and two LayerNorms with scale and shift. `attention` need not equal `width`.
    """
    ### BEGIN SOLUTION
    projections = 3 * (width * attention + attention) + attention * width + width
    feed_forward = width * inner + inner + inner * width + width
    return projections + feed_forward + 2 * 2 * width
    ### END SOLUTION


def block_macs(tokens: int, width: int, attention: int, inner: int) -> int:
    """Count the multiply-accumulates of one Transformer block for one row of `tokens` tokens.

    Args:
        tokens: of the row; every token attends to every token.
        width, attention, inner: as in `block_params`.

    Returns:
        Those of all matrix products: the four projections, the two feed-forward layers, and the two
        products inside attention, scores (query with key) and mixing (weights with value), which have
        no parameters. Biases, norms, softmax, activation and additions are not counted.
    """
    ### BEGIN SOLUTION
    linear = tokens * (4 * width * attention + 2 * width * inner)
    return linear + 2 * tokens**2 * attention
    ### END SOLUTION


def count_macs(model: nn.Module, inputs: Mapping[str, Tensor], queries: list[str]) -> int:
    """Count the multiply-accumulates of one forward pass while it runs.

    Args:
        model: called as `model(**inputs)`.
        inputs: tensors, rows first.
        queries: names of the query projections, one for each attention. Attention is not a module with
            a weight, so it is counted where its query is made: an output (rows, tokens, attention) stands
            for the products query with key and weights with value, over all pairs of tokens.

    Returns:
        A Python int: for each call of an `nn.Linear` the number of its outputs times `in_features`; of
        an `nn.Conv2d` the number of its outputs times the weights that make one of them (groups
        included); for each call of a query projection 2 times rows times tokens² times attention on
        top. A module that is called twice counts twice, one that is not called does not count.

        The model runs in eval mode and without gradients. Afterwards it is in the mode in which it came
        and has no hook left, also when its forward pass raises an error.
    """
    ### BEGIN SOLUTION
    total = 0

    def count(pairs_of_tokens: bool) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
            nonlocal total
            weight: Any = layer.weight
            total += output.numel() * weight[0].numel()
            if pairs_of_tokens:
                total += 2 * output.shape[-2] * output.numel()

        return hook

    hooks = [
        layer.register_forward_hook(count(name in queries))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        for handle in hooks:
            handle.remove()
        model.train(training)
    return total
    ### END SOLUTION
