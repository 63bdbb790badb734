"""What tests and calibration of the feature labs build anew: a distance between states that is trained along."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CosineMatcher(nn.Module):
    """DistilBERT's distance between states, as the notebook on GPT-2 provides it (arXiv 1910.01108)."""

    def __init__(self, narrow: int, wide: int, pairs: Sequence[tuple[int, int]], seed: int = 0) -> None:
        """Make a linear map for each pair (layer of the student, layer of the teacher)."""
        super().__init__()
        torch.manual_seed(seed)
        self.pairs = pairs
        self.into = nn.ModuleDict({str(own): nn.Linear(narrow, wide) for own, _ in pairs})

    def forward(self, own: Sequence[Tensor], goal: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Mean over pairs and real tokens of one less the cosine."""
        total = torch.zeros(())
        for layer, target in self.pairs:
            likeness = nn.functional.cosine_similarity(
                self.into[str(layer)](own[layer]), goal[target], dim=-1
            )
            total = total + 1 - (likeness * mask).sum() / mask.sum()
        return total / len(self.pairs)
