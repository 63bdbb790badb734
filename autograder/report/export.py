"""Grades as files that people and learning management systems take: CSV, Canvas, Moodle.

For an LMS the file is made on its own roster: an export of its gradebook or of its participants. Every student of
the roster gets a row, in the roster's order and with its own identifiers untouched; whoever is on one side only is
reported, and nothing is guessed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.api import Gradebook

from autograder.course import Course, Instance
from autograder.enrolment import in_section, read_enrolment
from autograder.errors import ConfigurationError, GradebookError
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.report.final import final_results

CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
"""What Canvas's export begins with and its import matches on; a column may be missing but for the first two."""
CANVAS_POINTS = "Points Possible"
MATCH = {"canvas": ("SIS Login ID", "SIS User ID"), "moodle": ("Username", "ID number", "Email address")}
"""Columns that may hold the account name, the first that is there."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that a spreadsheet would take for a formula."""


@dataclass(frozen=True)
class Student:
    """One student as the gradebook knows them, with what each lab handed in counts."""

    id: str
    last_name: str
    first_name: str
    email: str
    section: str
    scores: dict[str, float]


@dataclass
class Export:
    """A finished file, and whom it could not match."""

    text: str
    only_here: list[str] = field(default_factory=list)
    """Students with grades who are not on the roster."""
    only_there: list[str] = field(default_factory=list)
    """Students on the roster who have no grade."""


def read_grades(
    instance: Instance, course: Course, labs: Sequence[str], section: str = ""
) -> tuple[list[Student], dict[str, float]]:
    """Every student of the class, or of one section, with what these labs count, and the maximum of each lab.

    Lateness is taken off, with grace days spent over all labs of the course. Who has left the class is not
    in it. Raises GradebookError when a lab is not in the gradebook, ConfigurationError for an unknown section.
    """
    results = final_results(instance, course)
    with open_gradebook(instance) as gradebook, quiet():
        known = {assignment.name: assignment for assignment in gradebook.assignments}
        missing = [lab for lab in labs if lab not in known]
        if missing:
            raise GradebookError(f"the gradebook does not know {', '.join(missing)}: build the lab first")
        maxima = {lab: float(known[lab].max_score) for lab in labs}
        people = _students(gradebook, instance, section)
    for student in people:
        student.scores.update({one.lab: one.counts for one in results.get(student.id, []) if one.lab in labs})
    return people, maxima


def _students(gradebook: Gradebook, instance: Instance, section: str) -> list[Student]:
    enrolment = read_enrolment(instance)
    members = in_section(instance, (student.id for student in gradebook.students), section)
    return [
        Student(
            student.id,
            student.last_name or "",
            student.first_name or "",
            student.email or "",
            enrolment[student.id].section if student.id in enrolment else "",
            {},
        )
        for student in sorted(gradebook.students, key=lambda student: str(student.id))
        if student.id in members
    ]


def as_csv(students: Sequence[Student], maxima: dict[str, float]) -> str:
    """A table for a spreadsheet: names, one column a lab, the sum. An empty cell is a lab not handed in.

    A text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    rows: list[list[str]] = [
        ["student", "last name", "first name", "email", "section", *maxima, "total", "of"]
    ]
    whole = _number(sum(maxima.values()))
    for student in students:
        about = [student.id, student.last_name, student.first_name, student.email, student.section]
        marks = [_number(student.scores[lab]) if lab in student.scores else "" for lab in maxima]
        rows.append([*map(_inert, about), *marks, _number(sum(student.scores.values())), whole])
    return _written(rows)


def for_canvas(roster: str, students: Sequence[Student], maxima: dict[str, float], match: str = "") -> Export:
    """A file for Canvas's gradebook import, made on an export of that gradebook.

    A lab that has a column there already, whose name begins with the lab's id, keeps that name, which holds
    Canvas's own number of the assignment. Raises ConfigurationError when the file is no such export.
    """
    header, rows = _read(roster)
    for needed in CANVAS_COLUMNS[:2]:
        if needed not in header:
            raise ConfigurationError(f"the roster has no column {needed!r}: export the gradebook from Canvas")
    kept = [name for name in CANVAS_COLUMNS if name in header]
    titles = {lab: next((name for name in header if _names(name, lab)), lab) for lab in maxima}
    people = [
        row for row in rows if row["ID"].strip()
    ]  # the row of points, and others of Canvas's own, have none
    points = {**dict.fromkeys(kept, ""), "Student": f"    {CANVAS_POINTS}"}
    points |= {titles[lab]: _number(maximum) for lab, maximum in maxima.items()}
    return _matched(people, students, kept, titles, _column(header, match, "canvas"), [points])


def for_moodle(roster: str, students: Sequence[Student], maxima: dict[str, float], match: str = "") -> Export:
    """A file for Moodle's grade import (CSV), made on its list of participants. Raises ConfigurationError."""
    header, rows = _read(roster)
    column = _column(header, match, "moodle")
    return _matched(rows, students, [column], {lab: lab for lab in maxima}, column, [])


def _names(title: str, lab: str) -> bool:
    """Whether a column of Canvas is this lab's: `Lab-3.1-… (1234)`."""
    return title == lab or title.startswith(f"{lab} (")


def _column(header: Sequence[str], match: str, kind: str) -> str:
    wanted = (match,) if match else MATCH[kind]
    found = [name for name in wanted if name in header]
    if not found:
        raise ConfigurationError(
            f"the roster has no column {' or '.join(map(repr, wanted))}; it has: {', '.join(header)}. "
            "Name the one with the account names: --match COLUMN"
        )
    return found[0]


def _matched(
    people: Sequence[dict[str, str]],
    students: Sequence[Student],
    kept: Sequence[str],
    titles: dict[str, str],
    column: str,
    first: Sequence[dict[str, str]],
) -> Export:
    by_name = {student.id.lower(): student for student in students}
    names = [person[column].strip().lower() for person in people]  # the Hub knows names in small letters
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"the roster has {', '.join(twice)} more than once in the column {column!r}")
    header = [*kept, *titles.values()]
    rows = [header, *([row.get(name, "") for name in header] for row in first)]
    for person, name in zip(people, names, strict=True):
        scores = by_name[name].scores if name in by_name else {}
        marks = [_number(scores[lab]) if lab in scores else "" for lab in titles]
        rows.append([*(person[name] for name in kept), *marks])
    graded = {student.id.lower() for student in students if student.scores}
    return Export(_written(rows), sorted(graded - set(names)), sorted(set(names) - graded - {""}))


def _read(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """The header and the rows of a CSV file. Raises ConfigurationError when it is none."""
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        rows = [{name: value or "" for name, value in row.items() if name is not None} for row in reader]
    except csv.Error as error:
        raise ConfigurationError(f"the roster is not a CSV file: {error}") from error
    if not reader.fieldnames:
        raise ConfigurationError("the roster is empty")
    return list(reader.fieldnames), rows


def _written(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def read_roster(file: Path) -> str:
    """The text of a roster. Raises ConfigurationError when it cannot be read as UTF-8."""
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8: save it as 'CSV UTF-8' in the spreadsheet") from error
