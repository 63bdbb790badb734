"""Lottery tickets: iterative magnitude pruning with rewinding, and the controls that a claim needs.

Frankle & Carbin 2019 (arXiv 1803.03635), section 1; rewinding to an early step: Frankle et al. 2020 (arXiv
1912.05671), algorithm 1 with k > 0.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def rewind(model: nn.Module, state: dict[str, Tensor], masks: dict[str, Tensor]) -> None:
    """Give a model the weights of an earlier state, in place, without those that the masks remove.

    Args:
        model: gets every parameter and buffer of `state`.
        state: a copy of the `state_dict()` at the step to which training returns; it is not changed.
        masks: for the name of a layer a bool tensor of its weight's shape, True where the weight stays. Removed
            entries of that weight become zero; biases and other parameters are not masked.
    """
    ### BEGIN SOLUTION
    model.load_state_dict(state)
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_submodule(name).weight.mul_(mask)
    ### END SOLUTION


def find_ticket(
    model: nn.Module,
    train: Callable[[nn.Module, dict[str, Tensor], int, int], None],
    choose: Callable[[dict[str, Tensor], float], dict[str, Tensor]],
    *,
    names: list[str],
    sparsity: float,
    rounds: int,
    steps: int,
    rewind_step: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """Find a sparse subnetwork by iterative magnitude pruning with rewinding.

    1. Train a copy of the model from step 0 to `rewind_step` without masks, and keep a copy of its state. With
       `rewind_step` 0 nothing is trained and the kept state is the initialization.
    2. Train on from `rewind_step` to `steps`, still without masks.
    3. In round r = 1, ..., rounds: masks = choose(scores, 1 - (1 - sparsity) ** (r / rounds)), where the scores
       are the absolute values of the weights as trained last. A weight that is pruned already has score 0, so
       it stays pruned. Except after the last round, rewind the copy to the kept state under the masks and train
       it from `rewind_step` to `steps` under them.

    Args:
        model: at initialization; it is not changed.
        train: `train(network, masks, start, stop)` runs the steps start, ..., stop - 1 of a training run in
            place and keeps at zero what the masks remove; empty masks, {}, leave everything trained.
        choose: takes scores and a share to remove; returns bool masks, True where the weight stays.
        names: of the layers whose `weight` is pruned.
        sparsity: share of the weights of all names to remove at the end, 0 to 1.
        rounds: prunings, at least 1.
        steps: of one whole training run.
        rewind_step: step to whose weights each round returns.

    Returns:
        "masks": for each name a bool tensor, as chosen in the last round; "state": the kept state, without any
        mask.
    """
    ### BEGIN SOLUTION
    network = copy.deepcopy(model)
    if rewind_step > 0:
        train(network, {}, 0, rewind_step)
    kept = copy.deepcopy(network.state_dict())
    masks: dict[str, Tensor] = {}
    train(network, masks, rewind_step, steps)
    for number in range(1, rounds + 1):
        scores = {name: network.get_submodule(name).weight.detach().abs() for name in names}
        masks = choose(scores, 1 - (1 - sparsity) ** (number / rounds))
        if number < rounds:
            network.load_state_dict(kept)
            with torch.no_grad():
                for name, mask in masks.items():
                    network.get_submodule(name).weight.mul_(mask)
            train(network, masks, rewind_step, steps)
    return {"masks": masks, "state": kept}
    ### END SOLUTION


def shuffled_masks(masks: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return masks with as many kept weights in each layer as before, at random places.

    Args:
        masks: bool tensors by name; they are not changed.
        seed: of the places. Two seeds give two sets of masks.

    Returns:
        A bool tensor of the same shape for each name.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].reshape(mask.shape)
        for name, mask in masks.items()
    }
    ### END SOLUTION
