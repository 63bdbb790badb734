"""Model cards: one Markdown file a model, and its measured numbers as JSON beside it."""

from __future__ import annotations

import json
from typing import Any

from labkit.data import ASSETS
from labkit.zoo.errors import Unavailable

CARDS = ASSETS / "cards"


def read_card(name: str) -> str:
    """Return the Markdown card of ``name``.

    Raises:
        Unavailable: there is no card, so the model has not been trained.
    """
    path = CARDS / f"{name}.md"
    if not path.is_file():
        raise Unavailable(
            f"the card of {name} is missing",
            f"looked for {path.name} in the assets of labkit",
            f"Train the model: python -m reference_impl.pretrain {name}.",
        )
    return path.read_text(encoding="utf-8")


def read_facts(name: str) -> dict[str, Any]:
    """Return the numbers of the card: metric, runs of every seed, parameters, bytes.

    Raises:
        Unavailable: there is no card.
    """
    read_card(name)
    facts: dict[str, Any] = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    return facts
