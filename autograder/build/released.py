"""The record of what was released when: `releases.json` of an instance, and the lock around releasing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from autograder.build.changes import Content
from autograder.build.outbound import published
from autograder.course import Instance
from autograder.errors import BusyError, ConfigurationError, CourseError
from autograder.files import locked, write_whole


@dataclass(frozen=True)
class Release:
    """One release of a lab. `time` is UTC in ISO 8601; `erratum` is empty for the first one.

    `changed` names the cells that changed, by file. `published` is False from the moment before
    students can see it until the moment after.
    """

    version: str
    time: str
    week: int
    erratum: str
    changed: dict[str, list[str]]
    content: Content
    published: bool = False


def record_file(instance: Instance) -> Path:
    """Where the record is kept; readable by its owner only."""
    return instance.root / "releases.json"


def read_releases(instance: Instance) -> dict[str, list[Release]]:
    """Releases by lab, oldest first; empty when nothing was released. Raises ConfigurationError."""
    file = record_file(instance)
    try:
        content = json.loads(file.read_text("utf-8"))
        return {lab: [Release(**item) for item in items] for lab, items in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error}): restore it from a backup; it says what students have received"
        ) from error


def write_releases(instance: Instance, releases: dict[str, list[Release]]) -> None:
    """Replace the record in one step."""
    content = {lab: [asdict(item) for item in items] for lab, items in releases.items() if items}
    write_whole(record_file(instance), json.dumps(content, indent=1))


def was_released(instance: Instance, lab_id: str) -> bool:
    """Whether students may have this lab."""
    recorded = read_releases(instance).get(lab_id, [])
    return published(instance, lab_id) is not None or any(item.published for item in recorded)


@contextlib.contextmanager
def releasing(instance: Instance) -> Iterator[None]:
    """Hold the instance's release lock; it is free again when the process ends, however it ends.

    Raises CourseError when another release holds it, ConfigurationError without an instance.
    """
    if not instance.root.is_dir():
        raise ConfigurationError(
            f"there is no instance at {instance.root}: build a lab into it first (course build)"
        )
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(instance.root / "release.lock", 0))
        except BusyError as error:
            raise CourseError(
                f"another release of {instance.root} is running and nothing was changed by this one: "
                "run it again when the other has ended"
            ) from error
        yield
