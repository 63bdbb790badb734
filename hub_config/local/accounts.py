"""Unix accounts for the Hub on this machine: made when it starts, removed when it stops.

Each account carries a mark in its comment field. One without the mark is somebody's own and is
never touched. Homes stay between runs, so an account gets the same number every time.
"""

from __future__ import annotations

import grp
import itertools
import json
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from hub_config.errors import HubError

FIRST_NUMBER = 59_100
"""Account numbers begin here, above Debian's range for people and below those that systemd hands out."""

NUMBERS = "numbers.json"


def mark_of(state: Path) -> str:
    """The comment that tells this Hub's accounts from everybody else's."""
    return f"model-compression-course Hub in {state}"


def make_accounts(homes: dict[str, Path], state: Path) -> dict[str, str]:
    """Make one account a name, with the home given for it (mode 0700); return a fresh password for each.

    Raises HubError when a name or a number is somebody else's.
    """
    if shutil.which("useradd") is None:
        raise HubError("useradd is missing, so no accounts can be made: apt-get install -y passwd")
    numbers = _choose_numbers(list(homes), state)
    for name, home in homes.items():
        number = numbers[name]
        _refuse_strangers(name, number, mark_of(state))
        if not _exists(name):
            _make_account(name, number, home, mark_of(state))
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        shutil.chown(home, number, number)
    passwords = {name: secrets.token_urlsafe(9) for name in homes}
    _run(["chpasswd"], "".join(f"{name}:{password}\n" for name, password in passwords.items()))
    return passwords


def remove_accounts(state: Path) -> list[str]:
    """Remove every account with this Hub's mark; homes stay. Return the names."""
    names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_gecos == mark_of(state)]
    for name in names:
        _run(["userdel", "--force", name])
        if any(group.gr_name == name for group in grp.getgrall()):
            _run(["groupdel", name])
    return names


def numbers_of(state: Path) -> set[int]:
    """The account numbers of this Hub: those that it has now, and those that earlier runs had and nobody has."""
    entries = {entry.pw_uid: entry.pw_gecos for entry in pwd.getpwall()}
    mine = {number for number, comment in entries.items() if comment == mark_of(state)}
    return mine | {number for number in _known_numbers(state).values() if number not in entries}


def _choose_numbers(names: list[str], state: Path) -> dict[str, int]:
    """The number of each name: the one it had before, because its home belongs to it, or a free one."""
    known = _known_numbers(state)
    taken = {entry.pw_uid for entry in pwd.getpwall()} | set(known.values())
    # homes of another Hub whose accounts are gone until it starts again
    taken |= {home.stat().st_uid for home in state.parent.glob("*/homes/*")}
    free = (number for number in itertools.count(FIRST_NUMBER) if number not in taken)
    numbers = {name: known[name] if name in known else next(free) for name in names}
    (state / NUMBERS).write_text(json.dumps(known | numbers), "utf-8")
    return numbers


def _known_numbers(state: Path) -> dict[str, int]:
    file = state / NUMBERS
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _refuse_strangers(name: str, number: int, mark: str) -> None:
    for entry in pwd.getpwall():
        if (entry.pw_name == name or entry.pw_uid == number) and entry.pw_gecos != mark:
            raise HubError(
                f"the account {entry.pw_name} ({entry.pw_uid}) of this machine is in the way of {name} ({number}), "
                "which this Hub would make: choose other names with --prefix"
            )


def _make_account(name: str, number: int, home: Path, mark: str) -> None:
    if any(group.gr_name == name for group in grp.getgrall()):
        raise HubError(f"the group {name} of this machine is in the way: choose other names with --prefix")
    _run(["groupadd", "--gid", str(number), name])
    options = ["--no-create-home", "--home-dir", str(home), "--shell", "/bin/bash", "--comment", mark]
    _run(["useradd", "--uid", str(number), "--gid", str(number), *options, name])


def _run(command: list[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise HubError(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
