"""The measured checks of Lab 3.5: a pruned and fine-tuned classifier, and a lottery ticket."""

import copy
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from heldout import fashion, languages
from labkit import data, evaluation, ops, training, zoo
from reference_impl.measured import Measured, entry
from reference_impl.pruning.lottery_ticket import find_ticket, rewind, shuffled_masks
from reference_impl.pruning.masked_copy import masked_copy
from reference_impl.pruning.masked_training import prune_and_finetune
from reference_impl.pruning.masks import global_mask, layer_mask
from reference_impl.pruning.schedules import sparsity_schedule

Masks = dict[str, Tensor]
STEPS, SPARSITY = 60, 0.9
TICKET_STEPS = 120


def random_masks(scores: dict[str, Tensor], share: float, seed: int) -> Masks:
    """Masks that remove the share of every layer at random."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: layer_mask(torch.rand(part.shape, generator=generator), share) for name, part in scores.items()
    }


@cache
def classifier() -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor], float]:
    """The trained BERT, its training and test sentences, and its accuracy on the latter."""
    model, test = zoo.load("bert"), data.tensors(languages())
    return model, data.tensors(data.languages()["train"]), test, evaluation.quality(model, test)[1]


def gradually(step: int) -> float:
    """The schedule of the notebook's check."""
    return sparsity_schedule(step, initial=0.0, final=SPARSITY, start=0, interval=4, prunings=8)


def finetuned(
    choose: Callable[[dict[str, Tensor], float], Masks], schedule: Callable[[int], float], seed: int
) -> float:
    """Share of the dense test accuracy that pruning while fine-tuning keeps."""
    model, train, test, dense = classifier()
    pruned = copy.deepcopy(model)
    names = list(ops.linear_layers(model, skip=("pooler", "classifier")))
    prune_and_finetune(
        pruned,
        train,
        names=names,
        choose=choose,
        schedule=schedule,
        steps=STEPS,
        learning_rate=1e-3,
        seed=seed,
    )
    return evaluation.quality(pruned, test)[1] / dense


def gradual(seed: int) -> Measured:
    """90% removed from the classifier: with a schedule, at once, at random, and without training."""
    model, _, test, dense = classifier()
    with_schedule = finetuned(global_mask, gradually, seed)
    one_shot = finetuned(global_mask, lambda step: SPARSITY, seed)
    chance = finetuned(lambda scores, share: random_masks(scores, share, seed), lambda step: SPARSITY, seed)
    scores = {
        name: layer.weight.detach().abs()
        for name, layer in ops.linear_layers(model, skip=("pooler", "classifier")).items()
    }
    untrained = evaluation.quality(masked_copy(model, global_mask(scores, SPARSITY)), test)[1] / dense
    label = "share of the accuracy kept with 90% of the weights removed"
    return {
        label: entry(with_schedule, chance, 0.95),
        f"{label}, without training": entry(with_schedule, untrained, 0.95),
        "gain of gradual over one-shot pruning": entry(with_schedule - one_shot, 0.0, 0.005),
    }


def small_encoder(seed: int) -> nn.Module:
    """An untrained encoder of two layers."""
    return zoo.build("encoder", seed=seed, num_layers=2)


def ticket(seed: int) -> Measured:
    """A ticket of the encoder at 90%, and its controls, trained alike."""
    rows, test = data.tensors(data.fashion()["train"]), data.tensors(fashion())
    names = list(ops.linear_layers(small_encoder(seed), skip=("head",)))

    def train(network: nn.Module, masks: Masks, start: int, stop: int) -> None:
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
        batches = training.batches(rows, 64, seed=0)
        torch.manual_seed(0)
        network.train()
        for step in range(stop):
            batch = next(batches)
            if step >= start:
                optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / TICKET_STEPS)
                optimizer.zero_grad()
                training.loss(network, batch).backward()
                optimizer.step()
                for name, mask in masks.items():
                    network.get_submodule(name).weight.data.mul_(mask)
        network.eval()

    def accuracy(start: dict[str, Tensor], masks: Masks) -> float:
        network = small_encoder(seed)
        rewind(network, start, masks)
        train(network, masks, 0, TICKET_STEPS)
        return evaluation.quality(network, test)[1]

    made = small_encoder(seed)
    found = find_ticket(
        made, train, global_mask, names=names, sparsity=SPARSITY, rounds=3, steps=TICKET_STEPS
    )
    fresh = small_encoder(seed + 1).state_dict()
    first = {name: made.get_submodule(name).weight.detach().abs() for name in names}
    original = accuracy(found["state"], found["masks"])
    controls = {
        "new values": accuracy(fresh, found["masks"]),
        "shuffled masks": accuracy(found["state"], shuffled_masks(found["masks"], seed)),
        "masks of the largest start values": accuracy(found["state"], global_mask(first, SPARSITY)),
    }
    label = "ticket's accuracy after training"
    return {f"{label}, against {name}": entry(original, value, 0.62) for name, value in controls.items()}


def magnitude_pruning(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    return gradual(seed) | ticket(seed)
