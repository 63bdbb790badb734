"""A PostgreSQL server of the tests' own: Debian's programs, a temporary folder, one socket, no port."""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ACCOUNT = "postgres"
"""Debian's account of the server; the server's programs refuse to run as root."""


def programs() -> Path | None:
    """The newest folder of Debian's server programs, or None where the server is not installed."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return max(found, key=lambda file: int(file.parent.parent.name)).parent if found else None


class Server:
    """One cluster in a folder of its own. Peer authentication: each account gets in under its own name."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self.bin = bin_folder
        self.data = folder / "data"
        self.names = (f"gradebook{number}" for number in itertools.count(1))

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs under an account that may; returns what it printed."""
        command = [str(self.bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", ACCOUNT, "--", *command]
        # pg_ctl hands its output on to the server, so a pipe would stay open: a file it is
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder, timeout=120
            )
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{text}")
        return text

    def create(self) -> None:
        """Make the cluster and let this account in as a superuser."""
        self.run(
            "initdb", "--pgdata", str(self.data), "--auth=peer", "--encoding=UTF8", "--locale=C", "--no-sync"
        )
        with_root = f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = off\n"
        with_root += "full_page_writes = off\nsynchronous_commit = off\nshared_buffers = 16MB\n"
        with_root += "log_min_messages = fatal\n"
        configuration = self.data / "postgresql.conf"
        configuration.write_text(configuration.read_text("utf-8") + with_root, "utf-8")
        self.start()
        if os.geteuid() == 0:
            self.run("createuser", "--host", str(self.folder), "--superuser", getpass.getuser())

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = str(self.folder / "server.log")
        self.run("pg_ctl", "--pgdata", str(self.data), "--log", log, "--wait", "--silent", "start")

    def stop(self) -> None:
        """Stop the server, ending its connections."""
        self.run("pg_ctl", "--pgdata", str(self.data), "--mode=immediate", "--wait", "--silent", "stop")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as this account."""
        command = [str(self.bin / "psql"), "--host", str(self.folder), "--dbname", database, "-XAtq"]
        done = subprocess.run([*command, "--command", statement], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def url(self, database: str) -> str:
        """The database as `instance.toml` names it."""
        return f"postgresql+psycopg2:///{database}?host={self.folder}"

    def new_database(self) -> str:
        """An empty database; returns its URL."""
        name = next(self.names)
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running server; it is stopped and removed at the end, also after a failure."""
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL's server is not installed: as root, apt-get install -y postgresql")
    # a short path: a socket's name may have 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
        folder.chmod(0o755)
    server = Server(folder, bin_folder)
    try:
        server.create()
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder)
