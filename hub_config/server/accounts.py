"""Unix accounts of this machine: the people's and the course's."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

from hub_config.errors import HubError

NOBODY_LOGS_IN = "/usr/sbin/nologin"


class Accounts:
    """What the machine knows about accounts, LDAP's included; tests put their own in its place."""

    shadow = Path("/etc/shadow")

    def find(self, name: str) -> pwd.struct_passwd | None:
        """The account, or None."""
        try:
            return pwd.getpwnam(name)
        except KeyError:
            return None

    def has_password(self, name: str) -> bool:
        """Whether a password opens the account. An unreadable file counts as yes."""
        try:
            lines = self.shadow.read_text("utf-8", "replace").splitlines()
        except OSError:
            return True
        found = [line.split(":")[1] for line in lines if line.startswith(f"{name}:")]
        return any(not password.startswith(("!", "*")) for password in found)


def make_course_account(name: str, home: str) -> None:
    """A system account that nobody can log in to. Raises HubError."""
    options = ["--system", "--user-group", "--home-dir", home, "--no-create-home"]
    run(["useradd", *options, "--shell", NOBODY_LOGS_IN, "--comment", "model compression course", name])


def make_person(name: str, home: str) -> None:
    """An account without a password yet, with a home that only its owner enters. Raises HubError."""
    options = ["--create-home", "--home-dir", home, "--shell", "/bin/bash", "--user-group"]
    run(["useradd", *options, "--key", "HOME_MODE=0700", "--comment", "model compression course", name])


def run(command: list[str], text: str | None = None) -> str:
    """Run a program of the system and return what it printed. Raises HubError with its own words."""
    try:
        done = subprocess.run(command, input=text or "", capture_output=True, text=True)
    except FileNotFoundError as error:
        raise HubError(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}")[-1500:]
        raise HubError(f"{' '.join(command)} failed: {words}")
    return done.stdout
