"""What `install` does, step by step; each step first looks whether it was done already."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.course import outbound
from hub_config.course_copy import copy_checkout, give_to
from hub_config.errors import HubError
from hub_config.exchange import MODE, prepare_exchange
from hub_config.proxy import has_pages, proxy_command
from hub_config.server import render
from hub_config.server.accounts import Accounts, make_course_account, make_person, run
from hub_config.server.configuration import ROOT
from hub_config.server.course_files import (
    jupyter_is_current,
    make_instance,
    same_text,
    write_instance_settings,
    write_jupyter,
)
from hub_config.server.databases import Databases
from hub_config.server.secret_files import MEANING, make_secrets
from hub_config.server.settings import Settings

UNITS = Path("/etc/systemd/system")
SITES = Path("/etc/nginx/sites-available")
SITE = "model-compression-course"


@dataclass(frozen=True)
class Step:
    """`done` looks and changes nothing; `do` may be repeated."""

    title: str
    done: Callable[[], bool]
    do: Callable[[], object]


def steps(settings: Settings) -> Iterator[Step]:
    """Every step of an installation, in order."""
    accounts = Accounts()
    course, paths = settings.course, settings.paths
    yield Step(
        f"the course's account {course.account}, which nobody can log in to",
        lambda: accounts.find(course.account) is not None,
        lambda: make_course_account(course.account, course.home),
    )
    yield Step(
        f"the hand-in service's account {settings.handin.account}, which nobody can log in to",
        lambda: accounts.find(settings.handin.account) is not None,
        lambda: make_course_account(settings.handin.account, settings.handin.folder),
    )
    yield from _people(settings, accounts)
    for folder, mode, why in (
        (paths.state, 0o700, "the Hub's working folder"),
        (settings.backup.folder, 0o700, "backups"),
        (course.home, 0o700, "the course's home"),
    ):
        yield _folder(Path(folder), mode, why)
    handin = settings.handin
    yield Step(
        f"{handin.folder}: hand-ins, of {handin.account} alone",
        lambda: _belongs_to(Path(handin.folder), handin.account),
        lambda: _give_folder(Path(handin.folder), handin.account),
    )
    yield Step(
        f"secrets in {paths.secrets}", lambda: _have_secrets(paths.secrets), lambda: _secrets(settings)
    )
    yield Step(
        f"the course's own checkout in {course.checkout}",
        lambda: (course.checkout / ".copied-from").is_file(),
        lambda: _copy(settings),
    )
    yield Step(
        f"the instance in {course.instance}",
        course.instance.is_dir,
        lambda: make_instance(settings),
    )
    yield Step(
        "its settings: gradebook, exchange",
        lambda: write_instance_settings(settings, dry=True),
        lambda: write_instance_settings(settings),
    )
    yield Step(
        f"the exchange {course.exchange}, where labs are published",
        lambda: _exchange_is_ready(Path(course.exchange)),
        lambda: prepare_exchange(Path(course.exchange), course.account),
    )
    databases = Databases(settings)
    yield Step("roles and databases in PostgreSQL", databases.ready, databases.make)
    yield Step(
        f"Jupyter's configuration in {paths.jupyter}",
        lambda: jupyter_is_current(Path(paths.jupyter)),
        lambda: write_jupyter(Path(paths.jupyter)),
    )
    yield Step(
        f"the proxy in {paths.proxy}",
        lambda: _proxy_is_there(Path(paths.proxy)),
        lambda: _install_proxy(Path(paths.proxy)),
    )
    yield from _units(settings)


def _people(settings: Settings, accounts: Accounts) -> Iterator[Step]:
    people = settings.people
    for name in dict.fromkeys([*people.instructors, *people.assistants, *people.students]):
        yield Step(
            f"an account for {name}, without a password yet",
            lambda name=name: accounts.find(name) is not None,  # type: ignore[misc]
            lambda name=name: make_person(name, f"{settings.paths.homes}/{name}"),  # type: ignore[misc]
        )


def _folder(folder: Path, mode: int, why: str) -> Step:
    def make() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)

    return Step(f"{folder}: {why}", lambda: folder.is_dir() and folder.stat().st_mode & 0o7777 == mode, make)


def _have_secrets(folder: str) -> bool:
    return all((Path(folder) / name).is_file() for name in MEANING)


def _secrets(settings: Settings) -> None:
    make_secrets(Path(settings.paths.secrets))


def _copy(settings: Settings) -> None:
    for name in (".venv", ".venv-staff"):
        if not (ROOT / name).exists():
            raise HubError(f"{ROOT / name} is missing: run python3.11 scripts/setup.py there first")
    copy_checkout(ROOT, settings.course.checkout)
    give_to(settings.course.account, Path(settings.course.home))
    make_instance(settings)


def _exchange_is_ready(exchange: Path) -> bool:
    return outbound(exchange).is_dir() and exchange.stat().st_mode & 0o7777 == MODE


def _belongs_to(folder: Path, account: str) -> bool:
    return folder.is_dir() and folder.owner() == account and folder.stat().st_mode & 0o7777 == 0o700


def _give_folder(folder: Path, account: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    give_to(account, folder)


def _proxy_is_there(folder: Path) -> bool:
    program = folder / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    lock = (ROOT / "hub_config" / "proxy" / "package-lock.json").read_text("utf-8")
    return program.is_file() and same_text(folder / "package-lock.json", lock) and has_pages(folder)


def _install_proxy(folder: Path) -> None:
    proxy_command(folder)
    run(["chmod", "-R", "u=rwX,go=rX", str(folder)])  # its unit runs it under an account of its own


def _units(settings: Settings) -> Iterator[Step]:
    given = render.values(settings)
    texts = {UNITS / name: render.unit(name, given) for name in render.UNITS}
    if SITES.is_dir() or shutil.which("nginx"):
        texts[SITES / SITE] = render.nginx(given)
    for file, text in texts.items():
        yield Step(
            str(file),
            lambda file=file, text=text: same_text(file, text),  # type: ignore[misc]
            lambda file=file, text=text: _write(file, text),  # type: ignore[misc]
        )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(0o644)
    if file.parent == UNITS and Path("/run/systemd/system").is_dir():
        run(["systemctl", "daemon-reload"])
