"""The file that says a semester is half begun: which archive was proved to hold everything, and what goes where."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Instance
from autograder.errors import BackupError, ConfigurationError

MARKER = "semester.json"


@dataclass(frozen=True)
class Marker:
    """Hash of the archive's checksums, the Monday of week 1, and the name of the folder beside the instance."""

    archive: str
    starts: str
    aside: str


def marker_file(instance: Instance) -> Path:
    """Where it lies."""
    return instance.root / MARKER


def read_marker(instance: Instance) -> Marker | None:
    """What it says; None when no semester is half begun. Raises BackupError when it is damaged."""
    file = marker_file(instance)
    try:
        return Marker(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise BackupError(
            f"{file} is damaged ({error}). The class is half emptied: look what the archive, {instance.root}-until-… "
            "and the hand-in service hold before you remove it"
        ) from error


def require_whole(instance: Instance) -> None:
    """Raise ConfigurationError while a semester is half begun."""
    if marker_file(instance).is_file():
        raise ConfigurationError(
            f"{marker_file(instance)} says that a semester is half begun: run the same `course semester begin` again"
        )
