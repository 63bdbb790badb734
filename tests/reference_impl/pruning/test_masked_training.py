"""The cubic schedule, the optimizer that keeps zeros, and pruning while training."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import training
from reference_impl.pruning.hidden_inputs_masks import SmallNet, recording_choice
from reference_impl.pruning.masked_training import MaskedOptimizer, prune_and_finetune
from reference_impl.pruning.masks import global_mask
from reference_impl.pruning.schedules import sparsity_schedule


@given(
    start=st.integers(0, 20), interval=st.integers(1, 9), prunings=st.integers(1, 9),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)  # fmt: skip
def test_the_schedule_is_the_cubic_at_pruning_steps_and_flat_between(
    start: int, interval: int, prunings: int, ends: tuple[float, float]
) -> None:
    initial, final = sorted(ends)

    def at(step: int) -> float:
        return sparsity_schedule(
            step, initial=initial, final=final, start=start, interval=interval, prunings=prunings
        )

    values = [at(step) for step in range(start + interval * prunings + 5)]
    assert values[:start] == [initial] * start
    assert values[start + interval * prunings :] == [final] * 5
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(values))
    for number in range(prunings):
        first = start + number * interval
        cubic = final + (initial - final) * (1 - number * interval / (prunings * interval)) ** 3
        assert values[first : first + interval] == pytest.approx([cubic] * interval)


@pytest.mark.parametrize(("interval", "prunings"), [(0, 3), (3, 0), (-1, 2)])
def test_a_schedule_without_intervals_is_refused(interval: int, prunings: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        sparsity_schedule(0, initial=0, final=1, start=0, interval=interval, prunings=prunings)


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)


def adamw(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)


@pytest.mark.parametrize("make", [sgd, adamw])
@given(seed=st.integers(0, 999), when=st.integers(0, 5))
def test_zeros_stay_and_the_others_do_not_notice(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], seed: int, when: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start, mask = torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator) < 0.5
    masked, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer, other = MaskedOptimizer(make([masked])), make([plain])
    for step in range(8):
        if step == when:
            optimizer.set_masks([(masked, mask)])
            assert not masked.detach()[~mask].any()
        gradient = torch.randn(4, 3, generator=generator)
        optimizer.zero_grad()
        masked.grad, plain.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        other.step()
        assert torch.equal(masked.detach()[mask], plain.detach()[mask])
        if step >= when:
            assert not masked.detach()[~mask].any()


def rows() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(64, 6, generator=generator)
    return {"input": inputs, "labels": inputs[:, :3].argmax(1)}


def net() -> SmallNet:
    torch.manual_seed(0)
    state = {"first": nn.Linear(6, 10), "last": nn.Linear(10, 3)}
    return SmallNet(
        {f"{name}.{key}": value for name, layer in state.items() for key, value in layer.state_dict().items()}
    )


def test_pruning_follows_the_schedule_and_training_learns() -> None:
    calls: list[dict[str, object]] = []
    shares = [0.0] * 10 + [0.3] * 10 + [0.6] * 30
    model = net()
    history = prune_and_finetune(
        model, rows(), names=["first", "last"], choose=recording_choice(calls), schedule=shares.__getitem__, steps=50,
        learning_rate=0.02, batch=16,
    )  # fmt: skip
    assert [call["share"] for call in calls] == [0.3, 0.6]
    assert history["sparsity"] == pytest.approx([share for share in shares])
    assert int((model.first.weight == 0).sum()) == 36 and int((model.last.weight == 0).sum()) == 18
    assert sum(history["loss"][-10:]) < 0.8 * sum(history["loss"][:10])
    assert not model.training


def test_without_pruning_it_is_plain_training() -> None:
    model, other = net(), net()
    history = prune_and_finetune(
        model,
        rows(),
        names=["first"],
        choose=global_mask,
        schedule=lambda step: 0.0,
        steps=12,
        batch=16,
        seed=4,
    )
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.0)
    batches = training.batches(rows(), 16, seed=4)
    torch.manual_seed(4)
    other.train()
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / 12)
        loss = training.loss(other, next(batches))
        assert loss.item() == history["loss"][step]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert all(
        torch.equal(mine, theirs) for mine, theirs in zip(model.parameters(), other.parameters(), strict=True)
    )
