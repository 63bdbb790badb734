"""Everything that must stand before the Hub starts: folders, accounts, the course's copy, a published lab."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from autograder.course import outbound
from autograder.grade.intake import read_regular
from hub_config.as_course import WRITE_SETTINGS, as_course
from hub_config.course_copy import copy_checkout, give_to
from hub_config.errors import HubError
from hub_config.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
Say = Callable[[str], None]


def prepare_folders(state: Path) -> None:
    """The state folder: `hub` for the Hub alone, `jupyter` to read, `exchange` to reach, `homes` to pass through."""
    os.umask(0o022)
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o755)
    (state / "homes").mkdir(exist_ok=True)
    (state / "homes").chmod(0o711)
    (state / "hub").mkdir(exist_ok=True, mode=0o700)
    (state / "hub").chmod(0o700)
    if (state / "jupyter").exists():
        shutil.rmtree(state / "jupyter")
    shutil.copytree(
        ROOT / "hub_config" / "jupyter", state / "jupyter", ignore=shutil.ignore_patterns("__pycache__")
    )


def prepare_course(state: Path, account: str, demo: bool, say: Say) -> tuple[Path, Path]:
    """The checkout that the course service works in and the instance that it serves.

    With an account of its own that is a copy below `state`; without, it is this checkout.
    With `demo`, the instance is the one that `make demo` graded.
    """
    name = "demo" if demo else "course"
    graded = ROOT / "build" / "demo"
    if demo and not (graded / "gradebook.db").is_file():
        raise HubError(
            "there is no demonstration semester yet: run make demo first, or make hub without --demo"
        )
    checkout = state / "course" / "checkout" if account else ROOT
    instance = checkout / "build" / name
    if account:
        _copy_for(account, checkout, say)
        if demo:
            _hand_over(graded, instance, account)
    settings = f'exchange = "{state / "exchange"}"\n'
    as_course(account, checkout, ["/bin/sh", "-c", WRITE_SETTINGS, str(instance)], settings)
    return checkout, instance


def _copy_for(account: str, checkout: Path, say: Say) -> None:
    """The copy, closed to its account until it is whole: root must not follow what somebody puts there."""
    folder = checkout.parent
    os.chown(folder, 0, 0)
    if not checkout.exists():
        folder.chmod(0o700)
    if not copy_checkout(ROOT, checkout):
        say(
            f"the course's own copy in {checkout} was made from other files than these; --fresh makes it anew"
        )
    elif checkout.stat().st_uid == 0:
        give_to(account, checkout)
    os.chown(folder, 0, pwd.getpwnam(account).pw_gid)
    folder.chmod(0o710)


def _hand_over(graded: Path, instance: Path, account: str) -> None:
    """Replace the served semester by the one that was graded, unless it is the same one."""
    if _summary(instance) == _summary(graded):
        return
    incoming = instance.parent.parent.parent / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.copytree(graded, incoming, symlinks=True)
    give_to(account, incoming)
    replace = 'rm -rf "$1" && cp -a "$0" "$1"'
    as_course(account, instance.parent, ["/bin/sh", "-c", replace, str(incoming), str(instance)])
    shutil.rmtree(incoming)


def _summary(instance: Path) -> bytes:
    """What tells one demonstration semester from another."""
    return read_regular(instance / "summary.json", 1 << 20)[0]


def publish(site: Site, labs: list[str]) -> None:
    """Build and publish those of the labs that students cannot fetch yet. Raises HubError."""
    course = [f"{site.staff_environment}/bin/python", "-m", "autograder"]
    checkout = Path(site.checkout)
    for lab in labs:
        if (outbound(Path(site.exchange)) / lab).is_dir():
            continue
        if not (Path(site.instance) / "bundle" / f"{lab}.json").is_file():
            as_course(site.course_account, checkout, [*course, "build", lab, "--no-execute"])
        as_course(site.course_account, checkout, [*course, "release", lab, "--instance", site.instance])
