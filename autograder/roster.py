"""A learning management system's list of students, taken into the gradebook. Nobody is ever removed by it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from autograder.actions import note
from autograder.course import Instance
from autograder.enrolment import is_section
from autograder.errors import ConfigurationError
from autograder.grade.collect import STUDENT
from autograder.gradebook import one_writer, open_gradebook
from autograder.nbgrader_api import quiet

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "csv": {
        "id": ("student",),
        "last": ("last name",),
        "first": ("first name",),
        "email": ("email",),
        "section": ("section",),
    },
    "canvas": {
        "id": ("SIS Login ID", "SIS User ID"),
        "last": (),
        "first": (),
        "email": (),
        "whole": ("Student",),
        "section": ("Section",),
    },
    "moodle": {
        "id": ("Username", "ID number", "Email address"),
        "last": ("Last name", "Surname"),
        "first": ("First name",),
        "email": ("Email address",),
        "section": ("Groups",),
    },
}
"""For each kind of file, the columns that may hold each field, the first that is there."""


@dataclass(frozen=True)
class Person:
    """One student of a roster. `id` is the account name, as the Hub knows it."""

    id: str
    last_name: str
    first_name: str
    email: str
    section: str = ""


@dataclass
class Changes:
    """What an import changed: new students, students with a new name or address, and who is only in the gradebook."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    only_here: list[str] = field(default_factory=list)


def read_people(text: str, kind: str, match: str = "", section: str = "") -> list[Person]:
    """The students of a roster of one kind of COLUMNS; `match` names the column with the account names, `section`
    that with the sections.

    Raises ConfigurationError naming the line of whatever cannot be an account.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    header = list(reader.fieldnames or [])
    columns = COLUMNS[kind]
    ids = _column(header, (match,) if match else columns["id"])
    if ids is None:
        wanted = " or ".join(repr(name) for name in ((match,) if match else columns["id"]))
        raise ConfigurationError(
            f"the roster has no column {wanted}; it has: {', '.join(header) or 'nothing'}. "
            "Name the one with the account names: --match COLUMN"
        )
    if section and section not in header:
        raise ConfigurationError(f"the roster has no column {section!r}; it has: {', '.join(header)}")
    people = list(_people(reader, header, {**columns, "section": (section,)} if section else columns, ids))
    if not people:
        raise ConfigurationError("the roster names no student: export it again, or name the right column")
    return people


def _people(
    reader: csv.DictReader[str], header: Sequence[str], columns: dict[str, tuple[str, ...]], ids: str
) -> Iterator[Person]:
    seen: dict[str, int] = {}
    for row in reader:
        name = (row[ids] or "").strip().lower()  # as JupyterHub does with every name
        if not name:  # Canvas's row of points, and its test student
            continue
        if STUDENT.fullmatch(name) is None:
            raise ConfigurationError(
                f"the roster, line {reader.line_num}: {name!r} cannot be an account name; it may have letters, digits "
                "and . _ - @"
            )
        if name in seen:
            raise ConfigurationError(
                f"the roster has {name} twice, in lines {seen[name]} and {reader.line_num}"
            )
        seen[name] = reader.line_num
        values = {
            part: (row.get(_column(header, columns.get(part, ())) or "") or "").strip()
            for part in ("last", "first", "email", "whole", "section")
        }
        if not is_section(values["section"]):
            raise ConfigurationError(
                f"the roster, line {reader.line_num}: the section of {name} is no line of text, or too long"
            )
        if values["whole"]:  # "Lovelace, Ada"
            values["last"], _, values["first"] = (part.strip() for part in values["whole"].partition(","))
        yield Person(name, values["last"], values["first"], values["email"], values["section"])


def _column(header: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in header), None)


def import_people(instance: Instance, people: Sequence[Person], *, dry_run: bool = False) -> Changes:
    """Add these students to the gradebook and correct their names and addresses; with `dry_run` only tell."""
    changes = Changes()
    with one_writer(instance), open_gradebook(instance) as gradebook, quiet():
        known = {student.id: student for student in gradebook.students}
        for person in people:
            new = {"last_name": person.last_name, "first_name": person.first_name, "email": person.email}
            new = {name: value for name, value in new.items() if value}
            old = known.get(person.id)
            if old is None:
                changes.added.append(person.id)
            elif any(getattr(old, name) != value for name, value in new.items()):
                changes.changed.append(person.id)
            else:
                continue
            if not dry_run:
                gradebook.update_or_create_student(person.id, **new)
        changes.only_here = sorted(set(known) - {person.id for person in people})
    if (changes.added or changes.changed) and not dry_run:
        note(instance, f"imported a roster: {len(changes.added)} added, {len(changes.changed)} corrected")
    return changes
