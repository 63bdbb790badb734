"""A gradebook in PostgreSQL is locked by nobody once a page of the course service has been sent."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy.engine import make_url

from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.semester.emptied import require_nobody_works
from tests.autograder.service.running import RunningCourse
from tests.autograder.test_postgresql import on
from tests.conftest import MiniLab
from tests.handin.running import StandInHub
from tests.postgresql import Server

READS = ["gradebook", "manage_students", "api/students", "class", "api/grades?submission_id=0"]
"""Pages and answers that read the gradebook; the last one is an error."""


def test_no_page_leaves_a_lock(mini: MiniLab, postgresql: Server, tmp_path: Path) -> None:
    """SQLAlchemy begins a transaction with the first read, and PostgreSQL would keep its locks until it ends."""
    lab = on(mini, tmp_path / "instance", postgresql.new_database())
    with open_gradebook(lab.instance) as gradebook, quiet():
        gradebook.add_student("ada")
    database = make_url(lab.instance.gradebook_url).database
    hub = StandInHub()
    running = RunningCourse(lab.instance, hub, tmp_path)
    try:
        for path in READS:
            answer = running.ask("ines", path)
            assert answer.status_code == (404 if "=0" in path else 200), f"{path}: {answer.text[:300]}"
            locks = (
                f"SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
                f"WHERE d.datname = '{database}' AND locktype = 'relation' AND pid <> pg_backend_pid()"
            )
            end = time.monotonic() + 5  # a request ends after its answer was sent
            while (held := postgresql.sql(locks)) != "0" and time.monotonic() < end:
                time.sleep(0.1)
            assert held == "0", path
        connected = postgresql.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")
        assert connected != "0", "the service never opened the gradebook"
        require_nobody_works(lab.instance)
    finally:
        running.stop()
        hub.stop()
