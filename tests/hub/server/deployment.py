"""A sound deployment in a temporary folder, which a test then weakens in one place."""

from __future__ import annotations

import dataclasses
import os
import pwd
from pathlib import Path
from typing import Any

from traitlets.config import Config

from hub_config.server import check
from hub_config.server.accounts import Accounts
from hub_config.server.configuration import fill
from hub_config.server.secret_files import make_secrets
from hub_config.server.settings import Settings, read_settings
from hub_config.server.weakness import Weakness

PEOPLE = {"instructors": ["ines"], "assistants": ["tom"], "students": ["ada", "bob"]}


class KnownAccounts(Accounts):
    """Accounts of a machine that is not this one; homes belong to whoever runs the tests."""

    def __init__(self, homes: Path) -> None:
        self.entries: dict[str, pwd.struct_passwd] = {}
        self.with_password: set[str] = set()
        self.put("coursework", str(homes.parent / "course"), 990, "/usr/sbin/nologin")
        self.put("handin", str(homes.parent / "handin"), 991, "/usr/sbin/nologin")
        for name in (name for names in PEOPLE.values() for name in names):
            self.put(name, str(homes / name), max(1000, os.geteuid()))

    def put(self, name: str, home: str, number: int, shell: str = "/bin/bash") -> None:
        """Add or replace an account."""
        self.entries[name] = pwd.struct_passwd((name, "x", number, number, "", home, shell))

    def find(self, name: str) -> pwd.struct_passwd | None:
        return self.entries.get(name)

    def has_password(self, name: str) -> bool:
        return name in self.with_password


class Deployment:
    """Settings, files, accounts and configuration of one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.umask = 0o022
        self.root = folder / "root-checkout"
        self.accounts = KnownAccounts(folder / "homes")
        self.file = folder / "etc" / "hub.toml"
        for name in ("root-checkout", "etc", "course", "homes", "exchange", "handin", "state", "backups"):
            (folder / name).mkdir(mode=0o755)
        for name in (name for names in PEOPLE.values() for name in names):
            home = folder / "homes" / name
            home.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(home, 1000, 1000)
        for name in ("root-checkout", "course", "handin", "state", "backups"):
            (folder / name).chmod(0o700)
        (folder / "course" / "checkout" / "build" / "course").mkdir(mode=0o700, parents=True)
        (folder / "course" / "checkout").chmod(0o700)
        self.file.write_text(settings_text(folder), "utf-8")
        self.file.chmod(0o640)
        make_secrets(folder / "etc" / "secrets")
        self.settings: Settings = read_settings(self.file)
        self.c = Config()
        self.refill()

    def refill(self) -> None:
        """Make the configuration anew from the settings."""
        self.c.clear()
        fill(self.c, self.settings)

    def replace(self, table: str, **values: Any) -> None:
        """Change settings of one table and the configuration with them."""
        changed = dataclasses.replace(getattr(self.settings, table), **values)
        self.settings = dataclasses.replace(self.settings, **{table: changed})
        self.refill()

    def weaknesses(self) -> list[Weakness]:
        """What the check finds, with this machine's accounts and checkout in place of the real ones."""
        before = os.umask(self.umask)
        real, check.ROOT = check.ROOT, self.root
        try:
            return list(check.weaknesses(self.settings, self.c, self.accounts))
        finally:
            check.ROOT = real
            os.umask(before)


def settings_text(folder: Path, **tables: str) -> str:
    """A hub.toml with every path below `folder`; `tables` adds lines to tables."""
    lists = "\n".join(f"{role} = {names!r}".replace("'", '"') for role, names in PEOPLE.items())
    text = {
        "people": lists,
        "databases": "",
        "ports": "",
        "servers": "",
        "course": f'home = "{folder}/course"\nexchange = "{folder}/exchange"',
        "handin": f'folder = "{folder}/handin"',
        "paths": f'homes = "{folder}/homes"\nsecrets = "{folder}/etc/secrets"\njupyter = "{folder}/etc/jupyter"\n'
        f'state = "{folder}/state"\nproxy = "{folder}/proxy"',
        "backup": f'folder = "{folder}/backups"',
        "tls": f'certificate = "{folder}/tls.crt"\nkey = "{folder}/tls.key"',
    }
    body = "".join(f"[{name}]\n{lines}\n{tables.get(name, '')}\n" for name, lines in text.items())
    return f'domain = "course.test"\nauthenticator = "{tables.get("authenticator", "pam")}"\n{body}'
