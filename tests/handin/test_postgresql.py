"""The store on a PostgreSQL server: one that is started again, and two who write at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from handin.store import Store

from tests.postgresql import Server, postgresql

__all__ = ["postgresql"]

DUE = datetime(2027, 3, 7, 15, 59, tzinfo=UTC)


@pytest.fixture
def store(postgresql: Server, tmp_path: Path) -> Iterator[Store]:
    """On an empty database."""
    opened = Store(tmp_path / "kept", postgresql.new_database())
    yield opened
    opened.close()


def test_the_first_request_after_a_restart_of_the_server_is_answered(
    store: Store, postgresql: Server
) -> None:
    store.set_deadline("Lab-0.1-Mini", DUE, None, {})
    postgresql.sql("CHECKPOINT")  # the tests' server writes late, and its stop is a crash
    postgresql.stop()
    postgresql.start()
    assert list(store.deadlines("ada")) == ["Lab-0.1-Mini"]


def test_deadlines_that_are_told_at_once_are_both_taken(store: Store) -> None:
    people = {f"student{n}": DUE for n in range(30)}
    for number in range(5):
        together = threading.Barrier(4)

        def tell(lab: str, together: threading.Barrier = together) -> None:
            together.wait(20)
            store.set_deadline(lab, DUE, None, people)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(tell, [f"Lab-{number}"] * 4))
    assert len(store.deadlines("student1")) == 5
