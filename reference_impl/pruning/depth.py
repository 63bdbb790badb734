"""Layer pruning: how much each block of a Transformer changes the residual stream, and the model without some."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def block_influence(inputs: Tensor, outputs: Tensor, mask: Tensor | None = None) -> float:
    """Measure how far a block turns the vectors that pass through it.

    Args:
        inputs: (rows, tokens, width) floats, the residual stream before the block.
        outputs: same shape, the residual stream after it.
        mask: (rows, tokens), 1 for a real token and 0 for padding, ints or bools; None when all are real.

    Returns:
        1 minus the mean over real tokens of the cosine between the token's input and its output, a Python
        float from 0 to 2, computed in float64. A vector of zeros has the cosine 0 with every vector.
        Raises `ValueError` when the shapes differ, or when no token is real.

    Men et al. 2024, ShortGPT (arXiv 2403.03853), equation 1.
    """
    ### BEGIN SOLUTION
    if inputs.shape != outputs.shape or (mask is not None and mask.shape != inputs.shape[:2]):
        raise ValueError(
            "inputs and outputs need one shape (rows, tokens, width), and the mask (rows, tokens)"
        )
    cosines = nn.functional.cosine_similarity(inputs.double(), outputs.double(), dim=-1, eps=1e-30)
    if mask is not None:
        cosines = cosines[mask.bool()]
    if not cosines.numel():
        raise ValueError("no real token")
    return 1 - float(cosines.mean())
    ### END SOLUTION


def layer_influences(model: nn.Module, stack: str, batches: list[Mapping[str, Tensor]]) -> list[float]:
    """Measure the block influence of every layer of a stack on the same data.

    Args:
        model: called as `model(**inputs)`.
        stack: name of the `nn.ModuleList` of layers, such as "vit.layers". Each layer takes the residual
            stream as its first positional argument and answers with the stream after it, or with a tuple
            whose first entry is.
        batches: inputs of the model. `labels` are not passed on. Where a batch has an `attention_mask`
            (rows, tokens), its zeros are padding and are left out. Batches may differ in size.

    Returns:
        One `block_influence` a layer, in order: the mean over every real token of all batches, so a batch
        counts by its real tokens.

        The model runs in eval mode without gradients. Afterwards it is in the mode in which it came and has
        no hook left, also after an error.
    """
    ### BEGIN SOLUTION
    layers: Any = model.get_submodule(stack)
    turned, tokens = [0.0] * len(layers), [0] * len(layers)
    mask: Tensor | None = None

    def watch(place: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_layer: nn.Module, inputs: Any, answer: Any) -> None:
            before, after = inputs[0], answer[0] if isinstance(answer, tuple) else answer
            real = before.shape[0] * before.shape[1] if mask is None else int(mask.bool().sum())
            turned[place] += real * block_influence(before, after, mask)
            tokens[place] += real

        return hook

    hooks = [layer.register_forward_hook(watch(place)) for place, layer in enumerate(layers)]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                mask = batch.get("attention_mask")
                inputs = dict(batch)
                inputs.pop("labels", None)
                model(**inputs)
    finally:
        for handle in hooks:
            handle.remove()
        model.train(training)
    return [total / count for total, count in zip(turned, tokens, strict=True)]
    ### END SOLUTION


def drop_layers(model: nn.Module, stack: str, drop: list[int]) -> nn.Module:
    """Return a copy of the model without some layers of a stack.

    Args:
        model: has a `config` with `num_hidden_layers`, as models of transformers have; is not changed.
        stack: name of the `nn.ModuleList` of layers, such as "vit.layers".
        drop: places of the layers that go, in any order; may be empty.

    Returns:
        A deep copy in the model's mode. The layers that stay keep their order and weights, and everything
        outside the stack stays: embeddings, final norm, head. The copy's `config.num_hidden_layers` is the
        number of layers left. Decoders look up their cache under a number that each attention carries, so
        every module in a layer that has an attribute `layer_idx` gets its layer's new place, from 0.
        Raises `ValueError` when `drop` repeats a place, names one that does not exist (negative numbers
        included) or leaves no layer.

    Men et al. 2024, ShortGPT (arXiv 2403.03853), section 3.2.
    """
    ### BEGIN SOLUTION
    count = len(model.get_submodule(stack))  # type: ignore[arg-type]
    if len(set(drop)) < len(drop) or len(drop) >= count or any(not 0 <= place < count for place in drop):
        raise ValueError(f"layers to drop are different numbers from 0 to {count - 1}, not all of them")
    shorter: Any = copy.deepcopy(model)
    layers: Any = shorter.get_submodule(stack)
    kept = nn.ModuleList(layer for place, layer in enumerate(layers) if place not in drop)
    parent, _, last = stack.rpartition(".")
    setattr(shorter.get_submodule(parent), last, kept.train(layers.training))
    shorter.config.num_hidden_layers = len(kept)
    for place, layer in enumerate(kept):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = place
    return shorter
    ### END SOLUTION


def greedy_removal(count: int, cost: Callable[[list[int]], float], remove: int) -> list[int]:
    """Remove one layer after the other, each time the one without which the rest does best.

    Args:
        count: layers of the model, with the places 0 to count − 1.
        cost: `cost(kept)` answers with a number, smaller is better, for a model with the layers `kept`,
            an ascending list of places. Expensive, so it is called no more than needed.
        remove: how many layers go.

    Returns:
        The places of the removed layers in the order of their removal. In each of the `remove` rounds every
        layer still there is left out once, alone, and `cost` is called for what is left; the layer with the
        smallest cost goes for good. Of equal costs the later layer goes. The full model's cost is not asked
        for: it decides nothing.
        Raises `ValueError` when `remove` is negative or leaves no layer.

    Kim et al. 2024, Shortened LLaMA (arXiv 2402.02834), ranks blocks by the perplexity without each, once;
    here the ranking is made anew after each removal.
    """
    ### BEGIN SOLUTION
    if not 0 <= remove < count:
        raise ValueError(f"0 to {count - 1} of {count} layers can go, not {remove}")
    kept, removed = list(range(count)), []
    for _ in range(remove):
        costs = {place: cost([other for other in kept if other != place]) for place in kept}
        worst = min(kept, key=lambda place: (costs[place], -place))
        kept.remove(worst)
        removed.append(worst)
    return removed
    ### END SOLUTION
