"""How a hand-in is scored, and pictures like those it is measured on.

The judge's pictures are other ones, moved by a secret of the instance; here everybody can make their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST_KEPT = 0.9
"""Share of the uncompressed network's accuracy below which a hand-in has no score."""
REACH = 1
"""Pixels by which a picture may be moved. Two cost the uncompressed network itself more than a quarter."""


def score(kept: float, ratio: float) -> float:
    """Share kept times ratio, and 0 below ``LEAST_KEPT``.

    Args:
        kept: accuracy over that of the uncompressed network on the same pictures.
        ratio: bytes of the uncompressed network's file over those of the hand-in.
    """
    return kept * ratio if kept >= LEAST_KEPT else 0.0


def transformed(rows: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Pictures moved by up to ``REACH`` pixels in each direction, half of them mirrored; labels as they were."""
    generator = torch.Generator().manual_seed(seed)
    pictures = rows["pixel_values"]
    count, _, height, width = pictures.shape
    padded = nn.functional.pad(pictures, (REACH,) * 4, value=float(pictures.min()))
    places = torch.randint(2 * REACH + 1, (count, 2), generator=generator)
    moved = torch.stack(
        [
            picture[:, y : y + height, x : x + width]
            for picture, (y, x) in zip(padded, places.tolist(), strict=True)
        ]
    )
    mirrored = torch.rand(count, generator=generator) < 0.5
    moved[mirrored] = moved[mirrored].flip(-1)
    return {**rows, "pixel_values": moved}
