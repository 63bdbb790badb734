"""The course's description (course.toml) and the folders of one running instance of it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from autograder.errors import ConfigurationError
from autograder.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
COURSE_ID = "model-compression"
"""The course's name in nbgrader's gradebook and exchange."""


@dataclass(frozen=True)
class Lab:
    """One lab. `due` is a local time in the course's time zone; `root` is the checkout it belongs to."""

    root: Path
    id: str
    track: str
    week: int
    due: datetime
    hours: int
    notebooks: tuple[str, ...]
    extra_files: tuple[str, ...]

    @property
    def source(self) -> Path:
        """Its folder of percent notebooks."""
        return self.root / "source" / self.id

    @property
    def release(self) -> Path:
        """Its folder of committed student notebooks."""
        return self.root / "release" / self.id


@dataclass(frozen=True)
class LearningPath:
    """One way through the course: ids of the labs, or their beginnings, that each week has."""

    id: str
    title: str
    weeks: tuple[tuple[str, ...], ...]


WHOLE_DAYS = ("grace_days", "closes_after")


@dataclass(frozen=True)
class LatePolicy:
    """What lateness costs, in days begun.

    `grace_days` of a student are forgiven over all labs; each further day of a lab takes `lost_per_day`
    (0 to 1) of what it earned; `closes_after` days after it is due a lab takes nothing more, if set.
    """

    grace_days: int = 0
    lost_per_day: float = 0.0
    closes_after: int | None = None


@dataclass(frozen=True)
class Course:
    """Everything course.toml says. `starts` is the Monday of week 1, `opens_at` a local time; both may be missing."""

    id: str
    title: str
    time_zone: ZoneInfo
    language: str
    labs: tuple[Lab, ...]
    starts: date | None = None
    opens_at: time = time(8)
    paths: tuple[LearningPath, ...] = ()
    late: LatePolicy = LatePolicy()

    def lab(self, name: str) -> Lab:
        """The lab with this id, or whose id starts with it: Lab-3.1 is not Lab-3.10.

        Raises ConfigurationError with the list.
        """
        matches = [
            lab for lab in self.labs if lab.id.startswith(name) and not lab.id[len(name) :][:1].isdigit()
        ]
        if len(matches) != 1:
            known = ", ".join(lab.id for lab in self.labs)
            raise ConfigurationError(f"unknown lab {name!r} in course.toml; the labs are: {known}")
        return matches[0]

    def today(self) -> date:
        """The day it is where the course is held."""
        return datetime.now(self.time_zone).date()

    def due(self, lab: Lab) -> datetime:
        """When a lab is due for everybody, as an instant."""
        return lab.due.replace(tzinfo=self.time_zone)

    def select(self, names: tuple[str, ...]) -> list[Lab]:
        """The labs named, or all of them."""
        return [self.lab(name) for name in names] if names else list(self.labs)


def load_course(path: Path = ROOT / "course.toml") -> Course:
    """Read course.toml. Raises ConfigurationError naming the key that is wrong."""
    try:
        text = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is missing: run this from a checkout of the course") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    try:
        about = text["course"]
        labs = tuple(
            Lab(
                root=path.resolve().parent,
                id=lab["id"],
                track=lab["track"],
                week=lab["week"],
                due=lab["due"],
                hours=lab["hours"],
                notebooks=tuple(lab["notebooks"]),
                extra_files=tuple(lab["extra_files"]),
            )
            for lab in text["lab"]
        )
        paths = tuple(
            LearningPath(item["id"], item["title"], tuple(map(tuple, item["weeks"])))
            for item in text.get("path", [])
        )
        return Course(
            about["id"],
            about["title"],
            ZoneInfo(about["time_zone"]),
            about["language"],
            labs,
            about.get("starts"),
            about.get("opens_at", time(8)),
            paths,
            _late_policy(path, text.get("late", {})),
        )
    except KeyError as error:
        raise ConfigurationError(f"{path}: the key {error} is missing") from error


def _late_policy(path: Path, table: dict[str, Any]) -> LatePolicy:
    try:
        policy = LatePolicy(**table)
    except TypeError as error:
        known = ", ".join(LatePolicy.__dataclass_fields__)
        raise ConfigurationError(f"{path}: [late] may hold {known}") from error
    for name, value in table.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise ConfigurationError(f"{path}: {name} of [late] must be a number, 0 or more")
    if policy.lost_per_day > 1 or any(not isinstance(table.get(name, 0), int) for name in WHOLE_DAYS):
        raise ConfigurationError(f"{path}: [late] has whole days, and lost_per_day between 0 and 1")
    return policy


@dataclass(frozen=True)
class Instance:
    """The folders of one running instance: an nbgrader course directory, kept out of the checkout's rooms."""

    root: Path

    @property
    def source(self) -> Path:
        """Built instructor notebooks; nbgrader's source directory, never the checkout's `source/`."""
        return self.root / "source"

    @property
    def release(self) -> Path:
        return self.root / "release"

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def received(self) -> Path:
        """Hand-ins exactly as they came, moved here by intake."""
        return self.root / "received"

    @property
    def autograded(self) -> Path:
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        return self.root / "feedback"

    @property
    def bundles(self) -> Path:
        """Lab bundles: hidden tests and master cells. Staff only."""
        return self.root / "bundle"

    @property
    def verdicts(self) -> Path:
        return self.root / "verdicts"

    @property
    def cache(self) -> Path:
        """Verdicts by content."""
        return self.root / "cache"

    @property
    def similarity(self) -> Path:
        """Pairs of hand-ins that are alike, from the last comparison of each lab."""
        return self.root / "similarity"

    @property
    def receipts(self) -> Path:
        """One line for every grade that was written."""
        return self.root / "receipts.jsonl"

    @property
    def gradebook(self) -> Path:
        """The gradebook's file where `instance.toml` names no other database; ask `gradebook_url`."""
        return self.root / "gradebook.db"

    @property
    def settings_file(self) -> Path:
        """`instance.toml`: where this deployment keeps its gradebook and its exchange; may be missing."""
        return self.root / "instance.toml"

    def setting(self, name: str, default: str) -> str:
        """One setting of instance.toml. Raises ConfigurationError when the file cannot be read."""
        if not self.settings_file.is_file():
            return default
        try:
            value = tomllib.loads(self.settings_file.read_text("utf-8")).get(name, default)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{self.settings_file}: {error}") from error
        if not isinstance(value, str):
            raise ConfigurationError(f"{self.settings_file}: {name} must be a text between quotes")
        return value

    def set(self, name: str, value: str) -> None:
        """Write one setting into instance.toml, in place of its line if it has one; the rest stays as it is."""
        text = self.settings_file.read_text("utf-8") if self.settings_file.is_file() else ""
        line, pattern = f'{name} = "{value}"\n', rf"^{name} *=.*\n?"
        if re.search(pattern, text, re.MULTILINE):
            changed = re.sub(pattern, line, text, count=1, flags=re.MULTILINE)
        else:
            changed = line + text  # first, because a line after a table would belong to the table
        tomllib.loads(changed)
        write_whole(self.settings_file, changed)

    @property
    def gradebook_url(self) -> str:
        """The gradebook as SQLAlchemy names it. Raises ConfigurationError when the setting cannot be used."""
        setting = self.setting("gradebook", "")
        if not setting:
            return f"sqlite:///{self.gradebook}"
        from autograder.database import (
            parse,
            sqlite_file,
        )  # SQLAlchemy is slow to import, and the judge needs none

        url = parse(setting, str(self.settings_file))
        file = sqlite_file(url)
        return f"sqlite:///{self.root / file}" if file else setting  # nbgrader starts in more than one folder

    @property
    def exchange(self) -> Path:
        """Where labs are published and hand-ins arrive; students can reach it, the rest of the instance not."""
        return Path(self.setting("exchange", str(self.root / "exchange")))

    def intake_record(self, student: str, lab_id: str) -> Path:
        """Where intake writes what it made of one hand-in, out of the student's reach."""
        return self.root / "intake" / student / f"{lab_id}.json"

    @property
    def secret(self) -> Path:
        """Key behind the seeds of hidden inputs; mode 0600."""
        return self.root / "secret.key"

    def bundle(self, lab_id: str) -> Path:
        """The bundle file of one lab."""
        return self.bundles / f"{lab_id}.json"


def outbound(exchange: Path) -> Path:
    """Where an exchange holds one folder a published lab."""
    return exchange / COURSE_ID / "outbound"


def instance(name: str = "course") -> Instance:
    """The instance `build/<name>` of this checkout."""
    return Instance(ROOT / "build" / name)
