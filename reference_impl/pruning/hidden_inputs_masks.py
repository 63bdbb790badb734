"""A small network and a recording choice of masks, for the hidden tests of training under masks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class SmallNet(nn.Module):
    """Two linear layers with dropout between them: 6 inputs, 3 classes."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        """Start from a state, in eval mode."""
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 10), nn.Dropout(0.2), nn.Linear(10, 3)
        self.load_state_dict(state)
        self.eval()

    def forward(self, input: Tensor) -> Tensor:
        """Map (rows, 6) to logits (rows, 3)."""
        logits: Tensor = self.last(self.drop(torch.relu(self.first(input))))
        return logits


def recording_choice(
    calls: list[dict[str, Any]],
) -> Callable[[dict[str, Tensor], float], dict[str, Tensor]]:
    """A choice of masks, the smallest of each layer, that writes down what it was asked."""

    def choose(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        calls.append({"share": share, "scores": {name: part.clone() for name, part in scores.items()}})
        masks = {}
        for name, part in scores.items():
            kept = torch.ones(part.numel(), dtype=torch.bool)
            kept[part.flatten().argsort(stable=True)[: round(share * part.numel())]] = False
            masks[name] = kept.reshape(part.shape)
        return masks

    return choose


def pretended_training(
    calls: list[dict[str, Any]],
) -> Callable[[nn.Module, dict[str, Tensor], int, int], None]:
    """A training run that writes down what it was given and moves every weight by a known amount."""

    def train(network: nn.Module, masks: dict[str, Tensor], start: int, stop: int) -> None:
        state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        calls.append(
            {
                "state": state,
                "masks": {key: mask.clone() for key, mask in masks.items()},
                "steps": [start, stop],
            }
        )
        with torch.no_grad():
            for number, (name, parameter) in enumerate(network.named_parameters()):
                places = torch.arange(parameter.numel()).reshape(parameter.shape)
                parameter.add_(
                    0.3 * torch.sin(places * (number + 2.0) + start + 3.0 * stop + 5.0 * len(calls))
                )
                layer = name.removesuffix(".weight")
                if layer in masks:
                    parameter.mul_(masks[layer])

    return train
