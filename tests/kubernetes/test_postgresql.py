"""The hand-in service with its database in PostgreSQL, which postgresql/handin.yaml asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.handin.running import RunningService, StandInHub
from tests.postgresql import Server, postgresql

__all__ = ["postgresql"]


@pytest.fixture
def service(postgresql: Server, tmp_path: Path) -> Iterator[RunningService]:
    """The service on an empty database."""
    hub = StandInHub()
    running = RunningService(tmp_path, hub, HANDIN_DATABASE=postgresql.new_database())
    yield running
    running.stop()
    hub.stop()


def test_attempts_are_kept_there_and_are_there_after_a_restart(
    service: RunningService, postgresql: Server
) -> None:
    service.publish("Lab-0.1-Mini", "01-Scale")
    ada, collector = service.client("ada"), service.client("collector")
    ids = [ada.hand_in("Lab-0.1-Mini", {"01-Scale.ipynb": body})["id"] for body in (b"{}", b"[]")]
    service.kill()
    service.start()
    assert [collector.attempt(one) for one in ids] == [{"01-Scale.ipynb": b"{}"}, {"01-Scale.ipynb": b"[]"}]
    assert not list(service.kept.glob("*.db"))
    database = make_url(service.environment["HANDIN_DATABASE"]).database
    assert postgresql.sql("SELECT count(*) FROM attempt", str(database)) == "2"
