"""Folders of the course and of Jupyter's configuration, as `install` makes them."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path

from hub_config.server.configuration import ROOT
from hub_config.server.settings import Settings

JUPYTER = ROOT / "hub_config" / "jupyter"


def same_text(file: Path, text: str) -> bool:
    """Whether the file holds exactly this text."""
    return file.is_file() and file.read_text("utf-8") == text


def make_instance(settings: Settings) -> None:
    """The instance in the checkout. After an update it comes from the old checkout beside the new one.

    It is no link to a folder elsewhere: formgrader serves only what really lies below the checkout.
    """
    course = settings.course
    old = course.checkout.with_name("checkout.old") / "build" / "course"
    for folder in (course.instance.parent, course.instance):
        if folder == course.instance and not folder.exists() and old.is_dir():
            old.rename(folder)
        folder.mkdir(exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        shutil.chown(folder, course.account, course.account)


def write_instance_settings(settings: Settings, dry: bool = False) -> bool:
    """Write `instance.toml`; with `dry`, only tell whether it holds these values already."""
    course = settings.course
    values = {
        "gradebook": settings.databases.gradebook,
        "exchange": course.exchange,
        "accounts": "unix",
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    file = course.instance / "instance.toml"
    if dry or same_text(file, text):
        return same_text(file, text)
    fresh = file.with_name("instance.toml.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(0o600)
    fresh.write_text(text, "utf-8")
    shutil.chown(fresh, course.account, course.account)
    fresh.rename(file)
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
