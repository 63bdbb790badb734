"""Fixtures of the server deployment's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.server.deployment import Deployment
from tests.postgresql import postgresql

__all__ = ["postgresql"]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A sound deployment of its own."""
    return Deployment(tmp_path)
