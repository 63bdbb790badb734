"""Which section a student belongs to, and who has left the class: `enrolment.json` of an instance.

Leaving deletes nothing. A student who left counts in no statistics and is in no export, until they come back.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from autograder.actions import note
from autograder.course import Instance
from autograder.errors import ConfigurationError
from autograder.files import locked, write_whole
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet

LONGEST_SECTION = 100
PATIENCE = 30.0
"""Seconds that a change waits for another."""


@dataclass(frozen=True)
class Enrolment:
    """One student's. `section` is empty for who has none; `left` is the day they left, ISO 8601, or empty."""

    section: str = ""
    left: str = ""


def read_enrolment(instance: Instance) -> dict[str, Enrolment]:
    """Everybody who has a section or has left. Raises ConfigurationError when the file is damaged."""
    file = instance.root / "enrolment.json"
    if not file.is_file():
        return {}
    try:
        return {student: Enrolment(**about) for student, about in json.loads(file.read_text("utf-8")).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is damaged ({error}): put it back from a backup, or remove it"
        ) from error


def those_who_left(instance: Instance) -> set[str]:
    """Students who have left the class."""
    return {student for student, about in read_enrolment(instance).items() if about.left}


def in_section(instance: Instance, students: Iterable[str], section: str) -> set[str]:
    """Those of these students who are in the class and in a section; an empty `section` means in any or none.

    Raises ConfigurationError listing the sections when there is none of this name.
    """
    known = read_enrolment(instance)
    names = sorted({about.section for about in known.values()} - {""})
    if section and section not in names:
        raise ConfigurationError(
            f"there is no section {section!r}; there are: {', '.join(names) or 'none, course roster section'}"
        )
    none = Enrolment()
    return {
        student
        for student in students
        if not known.get(student, none).left and section in ("", known.get(student, none).section)
    }


def is_section(name: str) -> bool:
    """Whether a section can be called so; an empty name stands for none."""
    return len(name) <= LONGEST_SECTION and name.isprintable()


def assign_sections(instance: Instance, sections: dict[str, str], who: str = "") -> int:
    """Put each student into a section, an empty one takes them out of theirs; return how many that changed.

    Raises ConfigurationError when a student is not in the gradebook, or a section's name is no line of text.
    """
    for section in sections.values():
        if not is_section(section):
            raise ConfigurationError(f"a section's name is one line, at most {LONGEST_SECTION} characters")
    return _change(instance, sections, "section", "is in the section {0}", "is in no section", who)


def leave(instance: Instance, student: str, day: date, who: str = "") -> bool:
    """Note that a student has left the class; whether that was new. Raises ConfigurationError for an unknown one."""
    return bool(_change(instance, {student: day.isoformat()}, "left", "left the class on {0}", "", who))


def come_back(instance: Instance, student: str, who: str = "") -> bool:
    """Note that a student who had left is back; whether that was new. Raises ConfigurationError for an unknown one."""
    return bool(_change(instance, {student: ""}, "left", "", "came back to the class", who))


def forget_enrolment(instance: Instance, student: str) -> None:
    """Remove what is known here about a student."""
    with locked(instance.root / "enrolment.lock", PATIENCE):
        known = read_enrolment(instance)
        if known.pop(student, None) is not None:
            _write(instance, known)


def _change(instance: Instance, values: dict[str, str], field: str, filled: str, empty: str, who: str) -> int:
    _require_known(instance, values)
    changed = 0
    with locked(instance.root / "enrolment.lock", PATIENCE):
        known = read_enrolment(instance)
        for student, value in values.items():
            before = known.get(student, Enrolment())
            # a second `leave` keeps the day of the first
            if getattr(before, field) == value or (field == "left" and value and before.left):
                continue
            change: dict[str, Any] = {field: value}
            known[student] = replace(before, **change)
            note(instance, filled.format(value) if value else empty, who=who, student=student)
            changed += 1
        if changed:
            _write(instance, known)
    return changed


def unknown(instance: Instance, student: str) -> str:
    """Say that the gradebook does not know a student, and whom it knows instead; empty when it does."""
    return _not_among(_students(instance), student)


def _students(instance: Instance) -> set[str]:
    with open_gradebook(instance) as gradebook, quiet():
        return {one.id for one in gradebook.students}


def _not_among(known: set[str], student: str) -> str:
    if student in known:
        return ""
    same = [one for one in known if one.lower() == student.lower()]
    near = same or difflib.get_close_matches(student, known, 1)
    return f"the gradebook knows no student {student!r}{f'; did you mean {near[0]}?' if near else ''}"


def _require_known(instance: Instance, students: Collection[str]) -> None:
    known = _students(instance)
    for student in students:
        if problem := _not_among(known, student):
            raise ConfigurationError(problem)


def _write(instance: Instance, known: dict[str, Enrolment]) -> None:
    kept = {student: asdict(about) for student, about in sorted(known.items()) if about != Enrolment()}
    write_whole(instance.root / "enrolment.json", json.dumps(kept, indent=1))
