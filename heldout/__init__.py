"""Test data with its labels. The judge reads it; no student, no released notebook and no labkit module does.

The same tables as ``labkit.data``, split ``test`` only; turn them into tensors with ``labkit.data.tensors``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit import data

if TYPE_CHECKING:
    from datasets import Dataset

FOLDER = Path(__file__).parent


def languages() -> Dataset:
    """Return the test sentences of ten close languages: text, label."""
    return data.table("languages", FOLDER / "languages" / "test.parquet")


def prose() -> Dataset:
    """Return the test addresses: title, year, text."""
    return data.table("prose", FOLDER / "prose" / "test.parquet")


def fashion() -> Dataset:
    """Return the test pictures of clothing: image, label."""
    return data.table("fashion", FOLDER / "fashion" / "test.parquet")
