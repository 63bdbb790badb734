"""What the administrator writes into hub.toml, read into one frozen object, every mistake named."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from hub_config.errors import HubError
from hub_config.lti import Lti, examine
from hub_config.server.rules import FORMATS, add_roster
from hub_config.tables import fill

SETTINGS_VARIABLE = "COURSE_HUB_SETTINGS"
DEFAULT_FILE = Path("/etc/model-compression-course/hub.toml")
ETC = "/etc/model-compression-course"
AUTHENTICATORS = ("pam", "native", "lti")


@dataclass(frozen=True)
class People:
    """Names of unix accounts; `roster` was already added to the lists."""

    instructors: list[str]
    assistants: list[str] = field(default_factory=list)
    students: list[str] = field(default_factory=list)
    roster: str = ""


@dataclass(frozen=True)
class Databases:
    """As SQLAlchemy names them."""

    hub: str = "postgresql+psycopg2:///jupyterhub?host=/run/postgresql"
    gradebook: str = "postgresql+psycopg2:///gradebook?host=/run/postgresql"


@dataclass(frozen=True)
class Servers:
    """Limits of one user's server; `total_memory` is for all of them together."""

    memory: str = "4G"
    cpu: float = 2.0
    processes: int = 512
    total_memory: str = "75%"
    idle_minutes: int = 60


@dataclass(frozen=True)
class Ports:
    """Ports of the loopback address."""

    proxy: int = 8000
    proxy_api: int = 8001
    hub: int = 8081
    course: int = 8082
    handin: int = 8083


@dataclass(frozen=True)
class CourseFolders:
    """The account of the course service and what belongs to it."""

    account: str = "coursework"
    home: str = "/srv/model-compression-course"
    exchange: str = "/srv/model-compression-exchange"

    @property
    def checkout(self) -> Path:
        """The course's own copy, in which instructors work."""
        return Path(self.home) / "checkout"

    @property
    def instance(self) -> Path:
        """The instance that is served."""
        return self.checkout / "build" / "course"


@dataclass(frozen=True)
class HandIns:
    """The account of the hand-in service and where it keeps what it takes."""

    account: str = "handin"
    folder: str = "/srv/model-compression-handin"


@dataclass(frozen=True)
class Paths:
    """Folders of the Hub; `homes` holds the people's home folders."""

    homes: str = "/home"
    secrets: str = f"{ETC}/secrets"
    jupyter: str = f"{ETC}/jupyter"
    state: str = "/var/lib/model-compression-course"
    proxy: str = "/opt/model-compression-course/proxy"


@dataclass(frozen=True)
class Backups:
    """Where nightly backups go and how many stay."""

    folder: str = "/var/backups/model-compression-course"
    keep: int = 14


@dataclass(frozen=True)
class Tls:
    """Files that nginx reads."""

    certificate: str = "/etc/ssl/model-compression-course/fullchain.pem"
    key: str = "/etc/ssl/model-compression-course/privkey.pem"


@dataclass(frozen=True)
class Settings:
    """One deployment. `file` is where it was read from."""

    domain: str
    people: People
    authenticator: str = "pam"
    lti: Lti | None = None
    databases: Databases = field(default_factory=Databases)
    servers: Servers = field(default_factory=Servers)
    ports: Ports = field(default_factory=Ports)
    course: CourseFolders = field(default_factory=CourseFolders)
    handin: HandIns = field(default_factory=HandIns)
    paths: Paths = field(default_factory=Paths)
    backup: Backups = field(default_factory=Backups)
    tls: Tls = field(default_factory=Tls)
    file: Path = DEFAULT_FILE


def settings_file() -> Path:
    """The file that COURSE_HUB_SETTINGS names, or the default one."""
    return Path(os.environ.get(SETTINGS_VARIABLE, DEFAULT_FILE))


def read_settings(file: Path) -> Settings:
    """Read and examine the file. Raises HubError naming file, key and what to write."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise HubError(
            f"{file} cannot be read ({error.strerror}): copy hub_config/server/settings.toml.example there"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HubError(f"{file} is not TOML: {error}") from error
    settings: Settings = dataclasses.replace(fill(Settings, content, file, FORMATS), file=file)
    _examine_logins(settings)
    ports = dataclasses.astuple(settings.ports)
    if len(set(ports)) < len(ports):
        raise HubError(f"{file}: two keys of [ports] have the same number; each needs its own")
    return dataclasses.replace(settings, people=add_roster(settings.people))


def _examine_logins(settings: Settings) -> None:
    """One way to log in, and the table that belongs to it."""
    file, kind = settings.file, settings.authenticator
    if kind not in AUTHENTICATORS:
        raise HubError(f'{file}: authenticator must be "pam", "native" or "lti"')
    if kind == "lti" and settings.lti is None:
        raise HubError(
            f'{file}: authenticator = "lti" needs the table [lti]; settings.toml.example shows its keys'
        )
    if settings.lti is not None:
        if kind != "lti":
            raise HubError(
                f'{file}: [lti] is there, but authenticator is "{kind}": '
                'write authenticator = "lti", or take the table out'
            )
        examine(settings.lti, file)
