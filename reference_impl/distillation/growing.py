"""Larger networks that start as smaller ones (Net2Net: Chen, Goodfellow and Shlens 2015, arXiv 1511.05641).

The functions work on a `state_dict` of a `LlamaForCausalLM`. Keys that begin with `model.layers.<i>.` belong to block
i, for i = 0, 1, ... without gaps, also above 9. Matrices are (out, in).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def widen_ffn(state: Mapping[str, Tensor], copies: Tensor) -> dict[str, Tensor]:
    """Give the feed-forward network of every block more inner units without changing what it computes.

    Inner unit j of a new network is a copy of the old unit `copies[j]`: of its row in `mlp.gate_proj.weight` and in
    `mlp.up_proj.weight`, both (units, width), and of its column in `mlp.down_proj.weight`, (width, units). The column
    is divided by the number of copies that the old unit has in `copies`, itself included, so that together they give
    what the one gave (Net2Net, section 2.3, there for a layer with one input matrix).

    Args:
        state: of the narrow model.
        copies: int64 (new units,), numbers of old units; each old unit occurs at least once. Used in every block.

    Returns:
        A dict for `load_state_dict` of a model with `len(copies)` inner units a block. Other tensors keep key and
        value. Every tensor is a copy, detached; `state` is unchanged.

    Raises:
        ValueError: an old unit does not occur in `copies`, or a number is no old unit.
    """
    ### BEGIN SOLUTION
    made = {}
    for key, value in state.items():
        value = value.detach()
        if key.endswith(("mlp.gate_proj.weight", "mlp.up_proj.weight")):
            if sorted(set(copies.tolist())) != list(range(len(value))):
                raise ValueError(f"copies must name each of {len(value)} units at least once, and no other")
            value = value[copies]
        elif key.endswith("mlp.down_proj.weight"):
            count = torch.bincount(copies, minlength=value.shape[1])
            value = (value / count)[:, copies]
        made[key] = value.clone()
    return made
    ### END SOLUTION


def deepen(state: Mapping[str, Tensor], after: list[int]) -> dict[str, Tensor]:
    """Insert blocks into a pre-norm Transformer without changing what it computes.

    Directly after each block i of `after` comes a new one. It is a copy of block i, except that its two output
    projections, `self_attn.o_proj.weight` and `mlp.down_proj.weight`, are zero: it adds nothing to the residual
    stream.

    Args:
        state: of the shallow model.
        after: numbers of old blocks, rising, each at most once.

    Returns:
        A dict for `load_state_dict` of a model with `len(after)` more blocks, numbered from 0 in their new order. Other
        tensors keep key and value. Every tensor is a copy, detached; `state` is unchanged.
    """
    ### BEGIN SOLUTION
    prefix = "model.layers."
    blocks = {int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix)}
    order = []
    for block in sorted(blocks):
        order += [(block, False)] + [(block, True)] * (block in after)
    made = {key: value.detach().clone() for key, value in state.items() if not key.startswith(prefix)}
    for place, (block, new) in enumerate(order):
        start = f"{prefix}{block}."
        for key, value in state.items():
            if key.startswith(start):
                name = key.removeprefix(start)
                silent = new and name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")
                value = torch.zeros_like(value) if silent else value.detach().clone()
                made[f"{prefix}{place}.{name}"] = value
    return made
    ### END SOLUTION


def grow_optimizer(
    optimizer: torch.optim.AdamW, before: nn.Module, after: nn.Module, origin: Mapping[str, str]
) -> torch.optim.AdamW:
    """An optimizer for a grown model that goes on where the one of the small model stopped.

    Args:
        optimizer: AdamW over all parameters of `before`, in one group. A parameter may have no state yet.
        before: the small model.
        after: the grown model.
        origin: for a parameter of `after`, by its name in `named_parameters`, the name of the parameter of `before`
            that it continues. Parameters that are not in it are new.

    Returns:
        An AdamW over all parameters of `after`, each once, in the order of `after.parameters()`, in one group. Learning
        rate, betas, eps and weight decay are those that the group of `optimizer` has now. A parameter that continues
        another has its "step", "exp_avg" and "exp_avg_sq", as copies, if the other has them and its shape is the same.
        Every other parameter has no state: AdamW makes it in the first step. `optimizer` is unchanged.
    """
    ### BEGIN SOLUTION
    group = optimizer.param_groups[0]
    kept = {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")}
    grown = torch.optim.AdamW(after.parameters(), **kept)
    known = dict(before.named_parameters())
    for name, parameter in after.named_parameters():
        old = known.get(origin.get(name, ""))
        if old is not None and old in optimizer.state and old.shape == parameter.shape:
            grown.state[parameter] = {key: value.clone() for key, value in optimizer.state[old].items()}
    return grown
    ### END SOLUTION
