"""What hidden tests of the distillation labs build anew: a small network that differs between its modes."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class SmallNet(nn.Module):
    """A classifier with dropout and running statistics, so that train and eval mode give different answers."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        """Take its sizes and values from a state: first.weight (width, in), last.weight (classes, width)."""
        super().__init__()
        width, entries = state["first.weight"].shape
        self.first, self.norm, self.drop = nn.Linear(entries, width), nn.BatchNorm1d(width), nn.Dropout(0.2)
        self.last = nn.Linear(width, len(state["last.weight"]))
        self.load_state_dict(state)

    def forward(self, input: Tensor) -> SimpleNamespace:
        """Map (batch, in) to an object with logits (batch, classes)."""
        return SimpleNamespace(logits=self.last(self.drop(self.norm(self.first(input)).relu())))


def small_state(
    width: int, generator: torch.Generator, *, entries: int = 6, classes: int = 4
) -> dict[str, Tensor]:
    """A state of `SmallNet` with random weights and statistics."""
    return {
        "first.weight": torch.randn(width, entries, generator=generator),
        "first.bias": torch.randn(width, generator=generator),
        "norm.weight": torch.rand(width, generator=generator) + 0.5,
        "norm.bias": torch.randn(width, generator=generator),
        "norm.running_mean": torch.randn(width, generator=generator),
        "norm.running_var": torch.rand(width, generator=generator) + 0.5,
        "norm.num_batches_tracked": torch.tensor(3),
        "last.weight": torch.randn(classes, width, generator=generator),
        "last.bias": torch.randn(classes, generator=generator),
    }


def bert_like_state(depth: int, *, width: int, units: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A state with the keys of a BERT classifier, random values, and scores of inner units far from ties."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    state = {
        "bert.embeddings.word_embeddings.weight": draw(9, width),
        "bert.embeddings.LayerNorm.weight": draw(width),
        "bert.pooler.dense.weight": draw(width, width),
        "classifier.weight": draw(3, width),
        "classifier.bias": draw(3),
    }
    for layer in range(depth):
        rows, columns = (nn.functional.normalize(draw(units, width), dim=1) for _ in range(2))
        growth, shrink = (1.5 ** torch.randperm(units, generator=generator) for _ in range(2))
        state |= {
            f"bert.encoder.layer.{layer}.{name}": value
            for name, value in {
                "attention.self.query.weight": draw(width, width),
                "attention.output.dense.weight": draw(width, width),
                "attention.output.dense.bias": draw(width),
                "intermediate.dense.weight": rows * (growth / shrink)[:, None],
                "intermediate.dense.bias": draw(units),
                "output.dense.weight": columns.T * shrink,
                "output.dense.bias": draw(width),
            }.items()
        }
    return state
