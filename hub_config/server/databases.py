"""PostgreSQL for the Hub and the gradebook: a role for each account, let in by the machine's own word for it.

The Hub runs as root and its database belongs to the role `root`, which has no other rights. Backup
and restore run as root too, so that role is a member of the course's, and in the gradebook's
database it acts as the course's: what a restore creates there belongs to the course's account.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from sqlalchemy.engine import make_url

from hub_config.errors import HubError
from hub_config.server.accounts import run
from hub_config.server.settings import Settings

HUB_ROLE = "root"


@dataclass(frozen=True)
class Place:
    """One database: its name and the folder of the server's socket."""

    name: str
    host: str
    port: str


def place_of(url: str) -> Place | None:
    """Where a database is; None for one that is not reached through a unix socket of this machine."""
    parsed = make_url(url)
    host = str(parsed.query.get("host", ""))
    if parsed.get_backend_name() != "postgresql" or parsed.host or not host.startswith("/"):
        return None
    return Place(str(parsed.database), host, str(parsed.query.get("port", "")))


class Databases:
    """Both databases of a deployment, made under the account postgres."""

    def __init__(self, settings: Settings) -> None:
        self.course_role = settings.course.account
        self.hub = place_of(settings.databases.hub)
        self.gradebook = place_of(settings.databases.gradebook)

    def ready(self) -> bool:
        """Whether everything is there. False also when the server does not answer."""
        try:
            return all(self._sql(place, question) == "1" for place, question, _ in self._wanted())
        except HubError:
            return False

    def make(self) -> None:
        """Make what is missing. Raises HubError when the server does not answer."""
        for place, question, statement in self._wanted():
            if self._sql(place, question) != "1":
                self._sql(place, statement)

    def _wanted(self) -> list[tuple[Place, str, str]]:
        """For each thing that must be there: the server, a question that answers 1, a statement that makes it."""
        wanted = []
        owners = [(self.hub, HUB_ROLE), (self.gradebook, self.course_role)]
        for place, role in owners:
            if place is None:
                continue  # another machine's: its administrator makes it
            wanted += [
                (place, f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'", f'CREATE ROLE "{role}" LOGIN'),
                (
                    place,
                    f"SELECT 1 FROM pg_database WHERE datname = '{place.name}'",
                    f'CREATE DATABASE "{place.name}" OWNER "{role}" ENCODING \'UTF8\' TEMPLATE template0',
                ),
                (
                    place,
                    f"SELECT 1 FROM pg_database WHERE datname = '{place.name}' "
                    "AND NOT has_database_privilege('public', oid, 'CONNECT')",
                    f'REVOKE ALL ON DATABASE "{place.name}" FROM PUBLIC',
                ),
            ]
        if self.hub is not None and self.gradebook is not None:
            member = f"SELECT 1 WHERE pg_has_role('{HUB_ROLE}', '{self.course_role}', 'MEMBER')"
            acts = (
                "SELECT 1 FROM pg_db_role_setting JOIN pg_database ON setdatabase = pg_database.oid "
                f"JOIN pg_roles ON setrole = pg_roles.oid WHERE datname = '{self.gradebook.name}' "
                f"AND rolname = '{HUB_ROLE}' AND 'role={self.course_role}' = ANY (setconfig)"
            )
            wanted += [
                (self.gradebook, member, f'GRANT "{self.course_role}" TO "{HUB_ROLE}"'),
                (
                    self.gradebook,
                    acts,
                    f'ALTER ROLE "{HUB_ROLE}" IN DATABASE "{self.gradebook.name}" SET role = \'{self.course_role}\'',
                ),
            ]
        return wanted

    def _sql(self, place: Place, statement: str) -> str:
        if shutil.which("psql") is None:
            raise HubError("PostgreSQL is not installed: apt-get install -y postgresql")
        port = ["--port", place.port] if place.port else []
        options = ["--host", place.host, *port, "--dbname", "postgres", "-XAtq", "--set", "ON_ERROR_STOP=1"]
        return run(["runuser", "-u", "postgres", "--", "psql", *options, "--command", statement]).strip()
