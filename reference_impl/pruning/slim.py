"""Depth, heads and channels of a vision Transformer pruned together."""

import copy
from typing import Any

import torch_pruning
from torch import nn


def slim(model: nn.Module, layers: list[int], heads: list[list[int]], channels: list[list[int]]) -> nn.Module:
    """Return a smaller copy of a vision Transformer: some layers, and of each some heads and channels.

    Args:
        model: a `ViTForImageClassification`; is not changed. Layer i is `model.vit.layers[i]`; its
            projections are `attention.q_proj`, `k_proj`, `v_proj` and `o_proj`, a head has
            `attention.head_dim` outputs, and its feed-forward block is `mlp.fc1` and `mlp.fc2`.
        layers: places of the layers that stay, ascending.
        heads: for each layer that stays, in the order of `layers`, the heads that stay.
        channels: for each layer that stays the hidden channels of its feed-forward block that stay.
            Both kinds of list may come in any order; the copy has them in ascending order.

    Returns:
        A deep copy in the model's mode, ready to be trained: every parameter of the copy has
        `requires_grad`, also one that was frozen in the model. In each layer that stays, query, key and
        value have lost the rows and bias entries of the other heads, the output projection their
        columns; fc1 the rows and bias entries of the other channels, fc2 their columns.
        `config.num_hidden_layers` is the number of layers left, and each
        `attention.num_attention_heads` its number of heads.
        Raises `ValueError` when the three lists differ in length or are empty, `layers` is not strictly
        ascending, or a list of heads or channels is empty, repeats a number or names one that does not
        exist (negative numbers included).

    `torch_pruning.prune_linear_out_channels(layer, idxs)` and `prune_linear_in_channels` shrink an
    `nn.Linear` in place; their `idxs` are the channels that go, not those that stay. You may use them.
    """
    ### BEGIN SOLUTION
    if not len(layers) == len(heads) == len(channels) > 0:
        raise ValueError("layers, heads and channels need one entry for each layer that stays")
    small: Any = copy.deepcopy(model)
    stack = small.vit.layers
    if sorted(set(layers)) != layers or layers[0] < 0 or layers[-1] >= len(stack):
        raise ValueError(f"layers are ascending numbers from 0 to {len(stack) - 1}")

    def others(chosen: list[int], count: int) -> list[int]:
        if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(count)):
            raise ValueError(f"different numbers from 0 to {count - 1} are needed, at least one")
        return [place for place in range(count) if place not in set(chosen)]

    small.vit.layers = nn.ModuleList(stack[place] for place in layers).train(stack.training)
    for layer, kept_heads, kept_channels in zip(small.vit.layers, heads, channels, strict=True):
        attention, width = layer.attention, layer.attention.head_dim
        lost = others(kept_heads, attention.q_proj.out_features // width)
        places = [head * width + offset for head in lost for offset in range(width)]
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            torch_pruning.prune_linear_out_channels(projection, places)
        torch_pruning.prune_linear_in_channels(attention.o_proj, places)
        attention.num_attention_heads = len(kept_heads)
        unused = others(kept_channels, layer.mlp.fc1.out_features)
        torch_pruning.prune_linear_out_channels(layer.mlp.fc1, unused)
        torch_pruning.prune_linear_in_channels(layer.mlp.fc2, unused)
    small.config.num_hidden_layers = len(layers)
    return small.requires_grad_(True)
    ### END SOLUTION
