"""What hidden tests of lab 3.11 build anew: a small network that answers every token of a row."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn


class TokenNet(nn.Module):
    """A language model of one hidden layer, with dropout, so that train and eval mode give different answers."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        """Take its sizes and values from a state: look.weight (vocabulary, width), last.weight (vocabulary, width)."""
        super().__init__()
        vocabulary, width = state["look.weight"].shape
        self.look, self.norm = nn.Embedding(vocabulary, width), nn.BatchNorm1d(width)
        self.drop, self.last = nn.Dropout(0.2), nn.Linear(width, vocabulary)
        self.load_state_dict(state)

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        """Map (batch, tokens) to an object with logits (batch, tokens, vocabulary)."""
        hidden = self.norm(self.look(input_ids).transpose(1, 2)).transpose(1, 2)
        return SimpleNamespace(logits=self.last(self.drop(hidden.tanh())))


def token_state(width: int, generator: torch.Generator, *, vocabulary: int = 11) -> dict[str, Tensor]:
    """A state of `TokenNet` with random weights and statistics."""
    return {
        "look.weight": torch.randn(vocabulary, width, generator=generator),
        "norm.weight": torch.rand(width, generator=generator) + 0.5,
        "norm.bias": torch.randn(width, generator=generator),
        "norm.running_mean": torch.randn(width, generator=generator),
        "norm.running_var": torch.rand(width, generator=generator) + 0.5,
        "norm.num_batches_tracked": torch.tensor(3),
        "last.weight": torch.randn(vocabulary, width, generator=generator),
        "last.bias": torch.randn(vocabulary, generator=generator),
    }


class LayeredNet(nn.Module):
    """A language model with the keys of a Llama: residual layers, dropout, running statistics, an output layer."""

    def __init__(self, depth: int, *, vocabulary: int = 11, width: int = 6) -> None:
        """Build it with `depth` layers; its values are random and meant to be replaced."""
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens, self.model.norm = nn.Embedding(vocabulary, width), nn.BatchNorm1d(width)
        self.model.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.drop, self.lm_head = nn.Dropout(0.2), nn.Linear(width, vocabulary, bias=False)

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        """Map (batch, tokens) to an object with logits (batch, tokens, vocabulary)."""
        hidden = self.model.embed_tokens(input_ids)
        for layer in self.model.layers:
            hidden = hidden + self.drop(layer(hidden).tanh())
        hidden = self.model.norm(hidden.transpose(1, 2)).transpose(1, 2)
        return SimpleNamespace(logits=self.lm_head(hidden))


def layered_state(
    depth: int, generator: torch.Generator, *, vocabulary: int = 11, width: int = 6
) -> dict[str, Tensor]:
    """A state of `LayeredNet` with random weights and statistics."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    state = {
        "model.embed_tokens.weight": draw(vocabulary, width),
        "model.norm.weight": draw(width).abs() + 0.5,
        "model.norm.bias": draw(width),
        "model.norm.running_mean": draw(width),
        "model.norm.running_var": draw(width).abs() + 0.5,
        "model.norm.num_batches_tracked": torch.tensor(3),
        "lm_head.weight": draw(vocabulary, width),
    }
    for layer in range(depth):
        state[f"model.layers.{layer}.weight"] = draw(width, width)
        state[f"model.layers.{layer}.bias"] = draw(width)
    return state
