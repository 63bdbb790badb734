"""Training under masks: an optimizer that keeps pruned weights at zero, and pruning while fine-tuning."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from labkit import training


class MaskedOptimizer:
    """An optimizer around an optimizer: what a mask has removed stays exactly zero."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Wrap an optimizer; no mask is set yet.

        Args:
            optimizer: any optimizer of torch, over the model's parameters.
        """
        ### BEGIN SOLUTION
        self.optimizer = optimizer
        self.masks: list[tuple[nn.Parameter, Tensor]] = []
        ### END SOLUTION

    def set_masks(self, masks: list[tuple[nn.Parameter, Tensor]]) -> None:
        """Replace all masks, and set the weights that the new ones remove to zero at once.

        Args:
            masks: pairs of a parameter and a bool tensor of its shape, True where the weight stays. Parameters
                without a mask are trained as usual.
        """
        ### BEGIN SOLUTION
        self.masks = masks
        with torch.no_grad():
            for parameter, mask in self.masks:
                parameter.mul_(mask)
        ### END SOLUTION

    def zero_grad(self) -> None:
        """Clear the gradients of the wrapped optimizer."""
        ### BEGIN SOLUTION
        self.optimizer.zero_grad()
        ### END SOLUTION

    def step(self) -> None:
        """Take one step of the wrapped optimizer that leaves pruned weights at exactly zero.

        The gradient of a pruned weight is set to zero before the step, so that it enters no running average.
        After the step the weight is set to zero, because momentum that was gathered before the pruning still
        moves it. Weights that stay get the values that the wrapped optimizer alone gives them.
        """
        ### BEGIN SOLUTION
        with torch.no_grad():
            for parameter, mask in self.masks:
                if parameter.grad is not None:
                    parameter.grad.mul_(mask)
            self.optimizer.step()
            for parameter, mask in self.masks:
                parameter.mul_(mask)
        ### END SOLUTION


def prune_and_finetune(
    model: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    names: list[str],
    choose: Callable[[dict[str, Tensor], float], dict[str, Tensor]],
    schedule: Callable[[int], float],
    steps: int,
    learning_rate: float = 1e-3,
    batch: int = 64,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train a model in place while a schedule makes it sparse.

    In step s = 0, 1, ..., steps - 1, in this order:

    1. if `schedule(s)` differs from the sparsity of the step before (0 before the first step), the masks are
       chosen anew by `choose(scores, schedule(s))`, where `scores` holds for each name the absolute values of
       the weight as it is now (a pruned weight has score 0), and pruned weights are set to zero;
    2. the loss of the next batch is computed in train mode and its gradient taken;
    3. AdamW with weight decay 0 takes one step with learning rate `learning_rate * (1 - s / steps)`; weights
       that the masks remove stay at zero.

    Batches come from `labkit.training.batches(rows, batch, seed=seed)`, losses from `labkit.training.loss`;
    `torch.manual_seed(seed)` is called once before the first step, for dropout. The model is left in eval mode.

    Args:
        model: is changed.
        rows: as of `labkit.data.tensors`.
        names: of the layers whose `weight` is pruned.
        choose: takes the scores of all names and a share to remove; returns bool masks, True where the weight
            stays.
        schedule: the sparsity, 0 to 1, after the pruning of each step.
        steps: optimizer steps.
        learning_rate: of the first step; it falls in a straight line to zero.
        batch: rows a step.
        seed: of the batches and of dropout.

    Returns:
        "loss": the loss of each step in nats; "sparsity": the share of removed weights over all names in each
        step, counted in the masks (0 before any were chosen). Two lists of `steps` Python floats.
    """
    ### BEGIN SOLUTION
    weights = {name: model.get_submodule(name).weight for name in names}
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    masked = MaskedOptimizer(optimizer)
    batches = training.batches(rows, batch, seed=seed)
    torch.manual_seed(seed)
    model.train()
    history: dict[str, list[float]] = {"loss": [], "sparsity": []}
    share, removed = 0.0, 0.0
    for step in range(steps):
        if schedule(step) != share:
            share = schedule(step)
            masks = choose({name: weight.detach().abs() for name, weight in weights.items()}, share)
            masked.set_masks([(weights[name], mask) for name, mask in masks.items()])
            entries = sum(mask.numel() for mask in masks.values())
            removed = sum(int((~mask).sum()) for mask in masks.values()) / entries
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        loss = training.loss(model, next(batches))
        masked.zero_grad()
        loss.backward()
        masked.step()
        history["loss"].append(loss.item())
        history["sparsity"].append(removed)
    model.eval()
    return history
    ### END SOLUTION
