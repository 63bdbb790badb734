"""Fixtures of the labkit tests: one thread, one copy of each model and table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch

from labkit import compat, data, zoo

compat.quiet_imports()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Make every test repeatable."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def rows() -> Callable[[str, str], dict[str, torch.Tensor]]:
    """Return the tensors of a split by data set and split name, read once."""

    @cache
    def read(name: str, split: str) -> dict[str, torch.Tensor]:
        return data.tensors(getattr(data, name)()[split])

    return read


@pytest.fixture
def trained() -> Callable[..., Any]:
    """Load a trained tiny model, or skip with one line while it has not been trained."""

    def load(name: str, **settings: Any) -> torch.nn.Module:
        try:
            return zoo.load(name, **settings)
        except zoo.Unavailable as reason:
            pytest.skip(str(reason))

    return load


@pytest.fixture
def example() -> Callable[[str], dict[str, torch.Tensor]]:
    """Return two rows of random inputs that a tiny model takes."""

    def make(name: str) -> dict[str, torch.Tensor]:
        task = zoo.task(name)
        if task == "fashion":
            return {"pixel_values": torch.randn(2, 1, 28, 28)}
        ids = torch.randint(5, 500, (2, 32))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return make
