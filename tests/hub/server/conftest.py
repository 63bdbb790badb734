"""Fixtures of the server deployment's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.server import front
from tests.hub.server.deployment import Deployment
from tests.hub.server.machine import Machine, can_be_made
from tests.postgresql import ACCOUNT, Server, postgresql, programs

__all__ = ["postgresql"]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A sound deployment of its own."""
    return Deployment(tmp_path)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """An empty machine with PostgreSQL, on which root has no rights in the database."""
    why_not = can_be_made()
    if why_not:
        pytest.skip(why_not)
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL's server is not installed: as root, apt-get install -y postgresql")
    front.needs_nginx()
    folder = Path(tempfile.mkdtemp(prefix="hub-"))
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    shutil.chown(folder / "pg", ACCOUNT, ACCOUNT)
    server = Server(folder / "pg", bin_folder)
    made: Machine | None = None
    try:
        server.create()
        server.run("dropuser", "--host", str(server.folder), "root")  # `install` makes it, without rights
        made = Machine(folder, server)
        made.restart_database()
        front.certificate(folder)
        yield made
    finally:
        if made is not None:
            made.end()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
