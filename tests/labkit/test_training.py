"""The short training loop: what it visits, what it minimises, what it leaves behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit import data, training, zoo


def test_an_epoch_visits_each_row_once_in_a_new_order() -> None:
    rows = {"x": torch.arange(12), "labels": torch.arange(12) * 10}
    chosen = training.batches(rows, 4, seed=3)
    epochs = [[next(chosen) for _ in range(3)] for _ in range(2)]
    visited = [torch.cat([batch["x"] for batch in epoch]) for epoch in epochs]
    assert all(sorted(part.tolist()) == list(range(12)) for part in visited)
    assert not torch.equal(*visited)
    assert all(torch.equal(batch["labels"], batch["x"] * 10) for epoch in epochs for batch in epoch)


@pytest.mark.parametrize("size", [0, 13])
def test_a_batch_that_can_not_be_made_is_refused_at_once(size: int) -> None:
    with pytest.raises(ValueError, match=f"batches of {size}"):
        training.batches({"x": torch.arange(12)}, size)


def test_the_loss_is_of_labels_or_of_the_next_token() -> None:
    sentences = data.tensors(data.languages()["validation"], limit=8)
    model = zoo.load("bert")
    logits = model(**{key: sentences[key] for key in ("input_ids", "attention_mask")}).logits
    torch.testing.assert_close(
        training.loss(model, sentences), nn.functional.cross_entropy(logits, sentences["labels"])
    )
    text = data.tensors(data.prose()["validation"], limit=2)
    model = zoo.load("gpt2")
    own = model(**text, labels=text["input_ids"]).loss
    torch.testing.assert_close(training.loss(model, text), own)


def test_fit_learns_repeats_itself_and_reports_each_step() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = {"input": torch.randn(64, 5, generator=generator)}
    rows["labels"] = (rows["input"][:, 0] > 0).long()

    def run() -> tuple[list[float], torch.Tensor, list[int]]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.1), nn.Linear(16, 2))
        model.forward = lambda input: nn.Sequential.forward(model, input)  # type: ignore[method-assign]
        seen: list[int] = []
        losses = training.fit(model, rows, steps=60, learning_rate=1e-2, batch=16, after_step=seen.append)
        assert not model.training
        return losses, next(model.parameters()).detach(), seen

    losses, weight, seen = run()
    again, same, _ = run()
    assert losses == again and torch.equal(weight, same)
    assert seen == list(range(60)) and sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_fit_minimises_another_criterion() -> None:
    model = nn.Linear(3, 2)
    rows = {"input": torch.randn(32, 3, generator=torch.Generator().manual_seed(0))}

    def size_of_answers(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        answers: torch.Tensor = network(batch["input"])
        return answers.square().mean()

    losses = training.fit(model, rows, steps=200, learning_rate=0.05, batch=32, criterion=size_of_answers)
    assert losses[-1] < 0.01 * losses[0]
