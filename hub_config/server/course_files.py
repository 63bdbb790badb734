"""Folders of the course and of Jupyter's configuration, as `install` makes them."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from pathlib import Path

from hub_config.as_course import OWNED, WRITE_SETTINGS, as_course
from hub_config.server.configuration import ROOT
from hub_config.server.settings import Settings

JUPYTER = ROOT / "hub_config" / "jupyter"


def same_text(file: Path, text: str) -> bool:
    """Whether the file holds exactly this text."""
    return file.is_file() and file.read_text("utf-8") == text


BRING_OVER = """umask 077
mkdir -p build
test -d "$0" && ! test -e "$1" && mv "$0" "$1"
for aside in "$0"-until-*; do test -d "$aside" && mv "$aside" build/; done
mkdir -p "$1"
chmod 700 build "$1"
"""
"""Shell: the instance of the old checkout, if there is one, becomes that of the new one, with earlier semesters beside
it."""


def make_instance(settings: Settings) -> None:
    """The instance in the checkout. After an update it comes from the old checkout beside the new one.

    It is no link to a folder elsewhere: formgrader serves only what really lies below the checkout.
    """
    course = settings.course
    old = course.checkout.with_name("checkout.old") / "build" / "course"
    command = ["/bin/sh", "-c", BRING_OVER, str(old), str(course.instance)]
    as_course(course.account, course.checkout, command)


def write_instance_settings(settings: Settings, dry: bool = False) -> bool:
    """Write `instance.toml`; with `dry`, only tell whether it holds these values already."""
    course = settings.course
    values = {
        "gradebook": settings.databases.gradebook,
        "exchange": course.exchange,
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    file = course.instance / "instance.toml"
    found = file.read_text("utf-8").splitlines(keepends=True) if file.is_file() else []
    owned = re.compile("|".join(rf"{name} *=" for name in OWNED))
    current = "".join(line for line in found if owned.match(line)) == text
    if dry or current:
        return current
    as_course(course.account, course.checkout, ["/bin/sh", "-c", WRITE_SETTINGS, str(course.instance)], text)
    return True


def jupyter_is_current(target: Path) -> bool:
    """Whether the folder that user servers read is a copy of this checkout's."""
    return target.is_dir() and not _differences(filecmp.dircmp(JUPYTER, target, ignore=["__pycache__"]))


def _differences(compared: filecmp.dircmp[str]) -> bool:
    _, mismatch, errors = filecmp.cmpfiles(
        compared.left, compared.right, compared.common_files, shallow=False
    )
    here = compared.left_only or compared.right_only or mismatch or errors
    return bool(here) or any(_differences(below) for below in compared.subdirs.values())


def write_jupyter(target: Path) -> None:
    """Copy it, readable by everybody and writable by nobody else."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(JUPYTER, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
