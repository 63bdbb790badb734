"""A pruned copy of a whole model, for measurements outside the notebooks."""

import copy

from torch import Tensor, nn


def masked_copy(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """A copy of the model in which the weights that the masks of its layers, by name, remove are zero."""
    changed = copy.deepcopy(model)
    for name, mask in masks.items():
        changed.get_submodule(name).weight.data.mul_(mask)
    return changed
