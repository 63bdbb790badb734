"""A running service for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handin.running import RunningService, StandInHub


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A Hub that knows a few tokens."""
    running = StandInHub()
    yield running
    running.stop()


@pytest.fixture
def service(tmp_path: Path, hub: StandInHub) -> Iterator[RunningService]:
    """A service with one released lab of two notebooks."""
    running = RunningService(tmp_path, hub)
    running.publish("Lab-0.1-Mini", "01-Scale", "02-More")
    yield running
    running.stop()
