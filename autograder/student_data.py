"""Everything that is kept about one student: to give it to them, or to delete it.

What stays here: the titles of the last 200 jobs in the queue of the course service, which go as new ones come (what the
jobs printed is blanked), the staff's journal, and receipts. Each line of these two proves that no grade, of anybody,
was changed behind the gradebook's back, and without one the chain is broken. They hold the account name, hashes and
values of checks, what the staff did, and nothing that the student wrote.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handin.client import Client
from handin.errors import HandInError
from nbgrader.api import MissingEntry

from autograder.actions import journal, note
from autograder.course import Instance
from autograder.enrolment import forget_enrolment, read_enrolment
from autograder.errors import ConfigurationError
from autograder.extensions import forget_extensions, read_extensions
from autograder.grade.collect import STUDENT
from autograder.grade.current import deletion, is_deleted
from autograder.grade.receipts import Receipts
from autograder.gradebook import one_writer, open_gradebook
from autograder.handin import has_service, service, told
from autograder.nbgrader_api import quiet
from autograder.service.jobs import forget_output

FOLDERS = ("submitted", "received", "autograded", "feedback", "intake", "collected")
"""Folders of an instance with one folder a student."""


@dataclass(frozen=True)
class Deleted:
    """What was deleted: folders of the instance, labs in the gradebook, attempts in the hand-in service."""

    folders: int
    labs: int
    attempts: int
    receipts: int
    """Receipts that name the student and stay."""


def export_student(instance: Instance, student: str, target: Path) -> int:
    """Write a new zip archive with all that is kept about a student; return how many files it has.

    Raises ConfigurationError when nothing is known of them or the file exists, IntakeError when the
    hand-in service does not answer.
    """
    _require_name(student)
    if target.exists():
        raise ConfigurationError(f"{target} exists already: name another file")
    content: dict[str, bytes] = {}
    for folder in _folders(instance, student):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                content[str(path.relative_to(instance.root))] = path.read_bytes()
    record = _gradebook_record(instance, student)
    if record is not None:
        content["gradebook.json"] = json.dumps(record, indent=1).encode()
    lines = [line for line in Receipts(instance.receipts).read() if line.get("student") == student]
    if lines:
        content["receipts.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    content |= _attempts(instance, student)
    until = {lab: of[student].isoformat() for lab, of in read_extensions(instance).items() if student in of}
    if until:
        content["extensions.json"] = json.dumps(until, indent=1).encode()
    enrolment = read_enrolment(instance).get(student)
    if enrolment is not None:
        content["enrolment.json"] = json.dumps(asdict(enrolment), indent=1).encode()
    actions = [line for line in journal(instance).read() if line["student"] == student]
    if actions:
        content["actions.jsonl"] = "".join(json.dumps(line) + "\n" for line in actions).encode()
    if not content:
        raise ConfigurationError(f"nothing is kept about a student {student!r} in {instance.root}")
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return len(content)


def forget_student(instance: Instance, student: str) -> Deleted:
    """Delete all that is kept about a student but their receipts. It cannot be brought back, except from a backup.

    The hand-in service goes first: when it does not answer nothing was deleted. Raises
    ConfigurationError, IntakeError.
    """
    _require_name(student)
    attempts = 0
    if has_service(instance):
        try:
            attempts = service(instance).forget(student)
        except HandInError as error:
            raise told(error, f"nothing of {student} was deleted") from error
    with one_writer(instance):
        labs = _remove_from_gradebook(instance, student)
        forget_extensions(instance, student)
        forget_enrolment(instance, student)
        found = _folders(instance, student)
        for folder in found:
            shutil.rmtree(folder)
        # verdicts by content hold what cells printed, under no name; they are made again when they are needed
        shutil.rmtree(instance.cache, ignore_errors=True)
        shutil.rmtree(instance.similarity, ignore_errors=True)  # names pairs of students; also made again
        _close_receipts(instance, student)
    forget_output(instance.root / "queue.json")  # `grade` prints the scores of everybody
    note(instance, "deleted what is kept about a student", student=student)
    kept = sum(line.get("student") == student for line in Receipts(instance.receipts).read())
    return Deleted(len(found), labs, attempts, kept)


def _require_name(student: str) -> None:
    if STUDENT.fullmatch(student) is None:
        raise ConfigurationError(f"{student!r} cannot be the name of a student")


def _folders(instance: Instance, student: str) -> list[Path]:
    places = [instance.root / name / student for name in FOLDERS]
    return [folder for folder in (*places, *instance.verdicts.glob(f"*/{student}")) if folder.is_dir()]


def _close_receipts(instance: Instance, student: str) -> None:
    """A last receipt for each notebook says that the grade was deleted, so that an audit does not miss it."""
    receipts = Receipts(instance.receipts)
    for (lab, who, notebook), last in receipts.latest().items():
        if who == student and not is_deleted(last):
            receipts.append(deletion(lab, who, notebook))


def _gradebook_record(instance: Instance, student: str) -> dict[str, Any] | None:
    with open_gradebook(instance) as gradebook, quiet():
        try:
            found = gradebook.find_student(student)
        except MissingEntry:
            return None
        about = {name: getattr(found, name) for name in ("id", "last_name", "first_name", "email")}
        return {
            **about,
            "labs": {one.name: _lab_record(one) for one in gradebook.student_submissions(student)},
        }


def _lab_record(submission: Any) -> dict[str, Any]:
    return {
        "handed in": submission.timestamp.isoformat() if submission.timestamp else None,
        "score": submission.score,
        "of": submission.max_score,
        "notebooks": {
            notebook.name: {
                "score": notebook.score,
                "cells": {
                    grade.name: {"automatic": grade.auto_score, "by hand": grade.manual_score}
                    for grade in notebook.grades
                },
                "comments": {
                    comment.name: comment.manual_comment
                    for comment in notebook.comments
                    if comment.manual_comment
                },
            }
            for notebook in submission.notebooks
        },
    }


def _attempts(instance: Instance, student: str) -> dict[str, bytes]:
    if not has_service(instance):
        return {}
    client: Client = service(instance)
    content: dict[str, bytes] = {}
    try:
        attempts = client.student(student)
        for attempt in attempts:
            place = f"attempts/{attempt['lab']}/{attempt['number']}"
            content[f"{place}/receipt.json"] = json.dumps(attempt, indent=1).encode()
            files = client.attempt(attempt["id"])
            content |= {f"{place}/{name}": data for name, data in files.items()}
            for notebook in attempt["feedback"]:
                page = client.feedback(attempt["id"], notebook)
                content[f"{place}/feedback/{notebook}.html"] = page
        asked = [one for one in client.asked() if one["student"] == student]
        if asked:
            content["requests.json"] = json.dumps(asked, indent=1).encode()
    except HandInError as error:
        raise told(error, f"the attempts of {student} could not be fetched") from error
    return content


def _remove_from_gradebook(instance: Instance, student: str) -> int:
    with open_gradebook(instance) as gradebook, quiet():
        try:
            labs = len(gradebook.student_submissions(student))
            gradebook.remove_student(student)
        except MissingEntry:
            return 0
        return labs
