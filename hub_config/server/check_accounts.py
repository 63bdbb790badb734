"""People and accounts: who could read, change or become what they must not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from hub_config.server.accounts import Accounts
from hub_config.server.settings import Settings
from hub_config.server.weakness import Weakness

PEOPLE = "hub.toml: [people]"
FIRST_PERSON = 1000
"""Debian's system accounts have numbers below."""


def account_weaknesses(settings: Settings, accounts: Accounts) -> Iterator[Weakness]:
    """Weaknesses of the lists of people, of their accounts and homes, and of the course's account."""
    people = settings.people
    listed = [*people.instructors, *people.assistants, *people.students]
    yield from _lists(settings)
    for key, name in (
        ("course.account", settings.course.account),
        ("handin.account", settings.handin.account),
    ):
        yield from _service_account(key, name, listed, accounts)
    if settings.course.account == settings.handin.account:
        yield Weakness(
            "the hand-in service, which talks to every student's server, could read solutions and grades",
            "hub.toml: handin.account is course.account",
            "give the hand-in service an account of its own",
        )
    for name in dict.fromkeys(listed):
        yield from _person(name, Path(settings.paths.homes), accounts)


def _lists(settings: Settings) -> Iterator[Weakness]:
    people = settings.people
    if not people.instructors:
        yield Weakness("no instructor is listed", f"{PEOPLE} instructors", "list at least one")
    staff = {*people.instructors, *people.assistants}
    for name in sorted(staff & {*people.students}):
        yield Weakness(
            f"{name} is a student and staff, and could grade their own work",
            PEOPLE,
            f"keep {name} in one list, or give the person a second account",
        )


def _service_account(key: str, name: str, listed: list[str], accounts: Accounts) -> Iterator[Weakness]:
    where = f"hub.toml: {key} is {name}"
    if name in listed:
        yield Weakness(
            f"the course's account {name} is also a person's", where, "give the course an account of its own"
        )
    entry = accounts.find(name)
    if entry is None:
        yield Weakness(
            f"the course's account {name} does not exist", where, "run python -m hub_config.server install"
        )
        return
    if entry.pw_uid == 0:
        yield Weakness(
            f"the account {name} of a service of the course is root",
            where,
            "give the course an account of its own",
        )
    if accounts.has_password(name):
        yield Weakness(
            f"one could log in to the course's account {name} with a password",
            f"/etc/shadow: {name}",
            f"passwd --lock {name}",
        )
    if not entry.pw_shell.endswith(("/nologin", "/false")):
        yield Weakness(
            f"the course's account {name} has a login shell",
            f"/etc/passwd: {name} has {entry.pw_shell}",
            f"usermod --shell /usr/sbin/nologin {name}",
        )


def _person(name: str, homes: Path, accounts: Accounts) -> Iterator[Weakness]:
    entry = accounts.find(name)
    if entry is None:
        yield Weakness(
            f"{name} has no account on this machine, so their server could not start",
            f"{PEOPLE} {name}",
            "run python -m hub_config.server install, or take the name out",
        )
        return
    if entry.pw_uid < FIRST_PERSON:
        yield Weakness(
            f"{name} is an account of the system, not of a person",
            f"/etc/passwd: {name} has the number {entry.pw_uid}",
            "take the name out; root, postgres and the like never log in to the Hub",
        )
    home = Path(entry.pw_dir)
    if home != homes / name:
        yield Weakness(
            f"the home of {name} is elsewhere, so their server could write nothing",
            f"/etc/passwd: {name} has {home}",
            f"usermod --move-home --home {homes / name} {name}",
        )
    elif not home.is_dir():
        yield Weakness(
            f"the home of {name} is missing", str(home), f"mkhomedir_helper {name}; chmod 700 {home}"
        )
    elif (mode := stat.S_IMODE(home.stat().st_mode)) & 0o077 or home.stat().st_uid != entry.pw_uid:
        yield Weakness(
            f"others can look into the home of {name}",
            f"{home} (mode {mode:o}, account {home.stat().st_uid})",
            f"chown {name}: {home}; chmod 700 {home}",
        )
