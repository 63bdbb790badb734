"""How values of hub.toml must look, and the roster file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub_config.errors import HubError
from hub_config.lti import RULES
from hub_config.tables import DOMAIN, NAME, Rule, pattern

ROLES = {"student": "students", "assistant": "assistants", "instructor": "instructors"}


# no spaces and no quotes: the values go into units and into nginx's configuration as they are
_path = pattern(
    re.compile(r"/[A-Za-z0-9_./-]*[A-Za-z0-9_-]"),
    "an absolute path of letters, digits and . _ - /, without a slash at the end",
)
_name = pattern(NAME, "a name has small letters, digits, _ and -, and begins with a letter")
_port = Rule(lambda value: 1024 <= value <= 65535, "a port between 1024 and 65535")
_positive = Rule(lambda value: value > 0, "more than 0")

FORMATS: dict[str, Rule] = {
    "domain": pattern(
        DOMAIN, "the name alone, like course.example.edu, without https:// and in small letters"
    ),
    "people.instructors": _name,
    "people.assistants": _name,
    "people.students": _name,
    "people.roster": _path,
    "course.account": _name,
    "course.home": _path,
    "course.exchange": _path,
    "handin.account": _name,
    "handin.folder": _path,
    "paths.homes": _path,
    "paths.secrets": _path,
    "paths.jupyter": _path,
    "paths.state": _path,
    "paths.proxy": _path,
    "backup.folder": _path,
    "backup.keep": _positive,
    "tls.certificate": _path,
    "tls.key": _path,
    "servers.memory": pattern(re.compile(r"[1-9][0-9]*[MG]"), 'a number with M or G, like "4G"'),
    "servers.total_memory": pattern(re.compile(r"[1-9][0-9]*[MG]|[1-9][0-9]?%"), 'like "48G" or "75%"'),
    "servers.cpu": _positive,
    "servers.processes": Rule(
        lambda value: value >= 64, "at least 64; a server with a kernel needs about 40"
    ),
    "servers.idle_minutes": Rule(lambda value: value >= 5, "at least 5"),
    **RULES,
    "ports.proxy": _port,
    "ports.proxy_api": _port,
    "ports.hub": _port,
    "ports.course": _port,
    "ports.handin": _port,
}
"""Keys by their full name; a key that is not here may be any value of its type."""


def read_roster(file: Path) -> Iterator[tuple[str, str]]:
    """Name and group of each line `name,role`. Raises HubError naming the line."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HubError(f"{file}, the roster that people.roster names, cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text or text == "name,role":
            continue
        name, _, role = (part.strip() for part in text.partition(","))
        if NAME.fullmatch(name) is None or role not in ROLES:
            raise HubError(f"{file}, line {number}: expected name,role with a role of {', '.join(ROLES)}")
        yield name, ROLES[role]


def add_roster(people: Any) -> Any:
    """The lists of people with the roster's names added, each once."""
    if not people.roster:
        return people
    lists: dict[str, Any] = {group: list(getattr(people, group)) for group in ROLES.values()}
    for name, group in read_roster(Path(people.roster)):
        if name not in lists[group]:
            lists[group].append(name)
    return dataclasses.replace(people, **lists)
