"""Attention head pruning: how much each head matters, which ones stay, and the model without the others."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def head_importance(
    model: nn.Module, projections: list[str], batches: list[Mapping[str, Tensor]], head_dim: int
) -> list[Tensor]:
    """Measure how strongly each example's loss reacts when an attention head is turned down.

    Args:
        model: a classifier; `model(**inputs).logits` is (rows, classes).
        projections: names of the output projections, `nn.Linear` modules, one for each attention. What
            such a layer is given, (rows, tokens, heads · head_dim), holds the heads side by side.
        batches: inputs of the model and `labels` (rows,), which are not passed on to it. Batches may
            differ in size.
        head_dim: width of a head.

    Returns:
        For each projection a float64 tensor (heads,): the mean over all examples of all batches of
        |∂ℓ/∂ξ_h|. The gate ξ_h multiplies what head h hands to the projection, at all tokens, and the
        derivative is taken at ξ = 1; ℓ is the cross-entropy of one example, in nats. The absolute value
        is taken for each example, before the mean.

        The model runs in eval mode. Afterwards it is in the mode in which it came, has no hook left (also
        after an error), and no parameter has got a `.grad`.
        It also works when no parameter requires a gradient.
        Raises `ValueError` when an `in_features` is no multiple of `head_dim`.

    Michel, Levy and Neubig 2019, Are Sixteen Heads Really Better than One? (arXiv 1905.10650), equations 2
    and 3.
    """
    ### BEGIN SOLUTION
    counts = []
    for name in projections:
        heads, rest = divmod(model.get_submodule(name).in_features, head_dim)
        if rest:
            raise ValueError(f"the inputs of {name} are no multiple of {head_dim}")
        counts.append(heads)
    totals = [torch.zeros(heads, dtype=torch.float64) for heads in counts]
    examples = 0
    gates: list[Tensor] = []

    def gated(place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = inputs[0]
            split = x.unflatten(-1, (counts[place], head_dim))
            return ((split * gates[place][:, None, :, None]).flatten(-2), *inputs[1:])

        return hook

    hooks = [
        model.get_submodule(name).register_forward_pre_hook(gated(place))
        for place, name in enumerate(projections)
    ]
    training = model.training
    model.eval()
    try:
        for batch in batches:
            labels = batch["labels"]
            gates[:] = [
                torch.ones(len(labels), heads, device=labels.device, requires_grad=True) for heads in counts
            ]
            with torch.enable_grad():
                inputs = {key: value for key, value in batch.items() if key != "labels"}
                logits: Tensor = model(**inputs).logits
                summed = nn.functional.cross_entropy(logits, labels, reduction="sum")
            for total, slope in zip(totals, torch.autograd.grad(summed, gates), strict=True):
                total += slope.abs().double().sum(0).cpu()  # a row's gate meets this row's loss only
            examples += len(labels)
    finally:
        for handle in hooks:
            handle.remove()
        model.train(training)
    return [total / examples for total in totals]
    ### END SOLUTION


def select_heads(importance: list[Tensor], count: int) -> list[list[int]]:
    """Choose the heads that stay, over all layers together, with at least one in each layer.

    Args:
        importance: one tensor (heads,) a layer; layers may differ in their number of heads.
        count: how many heads stay in all.

    Returns:
        For each layer the indices of the heads that stay, ascending. First each layer gets its most
        important head; the other places go to the most important heads left anywhere. Of equal heads
        the one in the earlier layer goes first, within a layer the one with the smaller index.
        Scores of different layers are compared as they are, without normalising.
        Raises `ValueError` when `count` is below the number of layers or above that of all heads.
    """
    ### BEGIN SOLUTION
    total = sum(len(scores) for scores in importance)
    if not len(importance) <= count <= total:
        raise ValueError(f"count is {count}; {len(importance)} to {total} heads can stay")
    ranked = sorted(
        (-value, layer, head)
        for layer, scores in enumerate(importance)
        for head, value in enumerate(scores.tolist())
    )
    chosen: list[list[int]] = [[] for _ in importance]
    for _, layer, head in ranked:
        if not chosen[layer]:
            chosen[layer].append(head)
    places = count - len(importance)
    for _, layer, head in ranked:
        if places and head not in chosen[layer]:
            chosen[layer].append(head)
            places -= 1
    return [sorted(heads) for heads in chosen]
    ### END SOLUTION


def prune_heads(
    model: nn.Module, blocks: list[dict[str, str]], keep: list[list[int]], head_dim: int
) -> nn.Module:
    """Return a copy of the model that has only some of its attention heads.

    Args:
        model: is not changed.
        blocks: for each attention the names of its `nn.Linear` modules: `{"q": ..., "k": ..., "v": ...,
            "o": ...}`. Head h owns the outputs h·head_dim to (h+1)·head_dim − 1 of query, key and value,
            and the same inputs of the output projection.
        keep: for each attention the heads that stay, in any order; the copy has them in ascending order.
        head_dim: width of a head; it does not change.

    Returns:
        A deep copy in the model's mode. Of query, key and value the chosen heads' rows and bias entries
        are left, of the output projection their columns and the whole bias; `in_features`,
        `out_features`, dtype, device and `requires_grad` are right, layers without a bias stay without.
        The attribute `num_attention_heads` of the module that holds the query projection is set to the
        number of heads left, if there is one.
        Raises `ValueError` when `blocks` and `keep` differ in length; when a list of heads is empty,
        repeats one or names one that does not exist (negative numbers included); or when query, key and
        value do not have the same number of outputs, as in grouped-query attention.

    Michel, Levy and Neubig 2019 (arXiv 1905.10650), section 2.3, with the heads removed instead of masked.
    """
    ### BEGIN SOLUTION
    if len(blocks) != len(keep):
        raise ValueError(f"{len(blocks)} attentions but {len(keep)} lists of heads")
    pruned = copy.deepcopy(model)
    for block, chosen in zip(blocks, keep, strict=True):
        widths = {pruned.get_submodule(block[part]).out_features for part in "qkv"}
        if len(widths) != 1:
            raise ValueError("query, key and value have different numbers of outputs")
        heads = widths.pop() // head_dim
        kept = sorted(chosen)
        if not kept or len(set(kept)) < len(kept) or kept[0] < 0 or kept[-1] >= heads:
            raise ValueError(f"heads must be different numbers from 0 to {heads - 1}, at least one")
        places = [head * head_dim + offset for head in kept for offset in range(head_dim)]
        for part, name in block.items():
            layer = pruned.get_submodule(name)
            for key, parameter in list(layer.named_parameters()):
                if part == "o" and key == "bias":
                    continue  # it belongs to the outputs, which all stay
                values = parameter.detach()[:, places] if part == "o" else parameter.detach()[places]
                setattr(layer, key, nn.Parameter(values.clone(), requires_grad=parameter.requires_grad))
            layer.out_features, layer.in_features = layer.weight.shape
        owner = pruned.get_submodule(block["q"].rpartition(".")[0])
        if hasattr(owner, "num_attention_heads"):
            owner.num_attention_heads = len(kept)
    return pruned
    ### END SOLUTION
