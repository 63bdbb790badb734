"""Text that can be stored: student text may hold surrogates, which no file and no database takes."""

from __future__ import annotations

import os
from typing import Any


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def well_formed_name(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")


def well_formed_tree(value: Any) -> Any:
    """The same for every string in a tree of lists and dicts, as JSON gives them."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [well_formed_tree(item) for item in value]
    if isinstance(value, dict):
        return {well_formed(key): well_formed_tree(item) for key, item in value.items()}
    return value
