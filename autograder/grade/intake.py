"""Take in a hand-in before anything reads it: copy what is expected, without following links.

Only the lab's notebooks and the files named in course.toml pass, as regular files under size caps.
What came is kept untouched in `received/`; what was dropped is listed with the reason.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.utils import parse_utc

from autograder.files import write_whole
from autograder.grade.handed_in import NotANotebook, read_handed_in
from autograder.text import well_formed_name

NOTEBOOK_BYTES = 20 << 20
FILE_BYTES = 5 << 20
TIMESTAMP = "timestamp.txt"
TIMESTAMP_BYTES = 100
GIVEN = {"README.md", "ERRATA.md"}
"""What came with the lab and needs no word when it comes back."""
SECRET_DIGITS = 128
HEXADECIMAL = re.compile(rb"[0-9a-f]{64,128}")
SUBMISSION_SECRET = "submission_secret.txt"
"""What nbgrader names a student's feedback pages after, so that only that student finds them."""


@dataclass
class IntakeReport:
    """What came of one hand-in. `broken` maps a notebook to the reason it cannot be read."""

    accepted: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def take_in(handed_in: Path, clean: Path, notebooks: list[str], extra_files: list[str]) -> IntakeReport:
    """Copy the expected files of `handed_in` into the new folder `clean`.

    A notebook is written anew from its cells' sources, see `autograder.grade.handed_in`. One that
    cannot be read is replaced by an empty one, so that grading goes on and says why.
    """
    report = IntakeReport()
    clean.mkdir(parents=True)
    wanted = {f"{name}.ipynb": NOTEBOOK_BYTES for name in notebooks}
    wanted |= {name: FILE_BYTES for name in extra_files} | {
        TIMESTAMP: TIMESTAMP_BYTES,
        SUBMISSION_SECRET: SECRET_DIGITS,
    }
    if handed_in.is_symlink() or not handed_in.is_dir():
        report.dropped[well_formed_name(handed_in.name)] = "not a folder"
        return report
    for entry in sorted(handed_in.iterdir()):
        if entry.name in GIVEN:
            continue
        if entry.name not in wanted:
            report.dropped[well_formed_name(entry.name)] = "not a file of this lab"
            continue
        content, problem = read_regular(entry, wanted[entry.name])
        if entry.suffix == ".ipynb":
            try:
                if problem is not None:
                    raise NotANotebook(problem)
                notebook = read_handed_in(content)
                report.accepted.append(entry.name)
            except NotANotebook as reason:
                report.broken[entry.stem] = str(reason)
                notebook = nbformat.v4.new_notebook()
            nbformat.write(notebook, clean / entry.name)
            continue
        if entry.name == TIMESTAMP and problem is None:
            problem = timestamp_problem(content)
        if entry.name == SUBMISSION_SECRET and problem is None and not HEXADECIMAL.fullmatch(content):
            problem = "not a secret of nbgrader's"
        if problem is None:
            (clean / entry.name).write_bytes(content)
            report.accepted.append(entry.name)
        else:
            report.dropped[entry.name] = problem
    return report


def read_regular(path: Path, largest: int) -> tuple[bytes, str | None]:
    """The bytes of a regular file, or why they were not read. Links, pipes and devices are not opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        link = error.errno == errno.ELOOP
        return b"", "a link, which is not followed" if link else f"cannot be opened ({error.strerror})"
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)  # a folder cannot become a file object
        return b"", "not a regular file"
    with os.fdopen(descriptor, "rb") as file:
        if status.st_nlink > 1:
            return b"", "a hard link to another file"
        if status.st_size > largest:
            return b"", f"{status.st_size >> 20} MiB is over the limit of {largest >> 20} MiB"
        return file.read(largest + 1), None


def timestamp_problem(content: bytes) -> str | None:
    """Why nbgrader could not read this as a time, or None."""
    try:
        when = parse_utc(content.decode("ascii").strip())
    except (ValueError, ArithmeticError, TypeError):
        return "not a time"
    return None if 2000 <= when.year < 3000 else "not a time of this century"


def take_in_place(
    submitted: Path, received: Path, record: Path, lab_files: tuple[list[str], list[str]]
) -> IntakeReport:
    """Move a hand-in to `received` and put its clean copy in its place; done once, nothing is done again.

    `record` is a file out of the student's reach with the report and a digest of the clean copy.
    `lab_files` are the lab's notebooks and extra files. Each step is one rename; what being killed
    between two of them leaves is put right by `finish_interrupted`.
    """
    if not submitted.exists() and not submitted.is_symlink():
        raise FileNotFoundError(errno.ENOENT, "the hand-in is gone", str(submitted))
    known = read_record(record)
    if known is not None and not submitted.is_symlink() and known["digest"] == digest(submitted):
        return IntakeReport(**known["report"])
    clean = _clean_copy(submitted)
    if clean.exists():
        shutil.rmtree(clean)
    report = take_in(submitted, clean, *lab_files)
    received.parent.mkdir(parents=True, exist_ok=True)
    attempt, number = received, 1
    while attempt.exists() or attempt.is_symlink():
        number += 1
        attempt = received.with_name(f"{received.name}~{number}")
    submitted.rename(attempt)
    clean.rename(submitted)
    write_whole(record, json.dumps({"digest": digest(submitted), "report": asdict(report)}))
    return report


def read_record(record: Path) -> dict[str, Any] | None:
    """What intake wrote of a hand-in, or None; a record that cannot be read counts as none."""
    try:
        known = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"digest", "report"} <= set(known) else None


def finish_interrupted(submitted: Path) -> None:
    """Put a clean copy in its place when intake was killed after it had moved the hand-in away.

    The move comes after the copy is whole, so a copy without a hand-in beside it is a whole one.
    """
    if interrupted(submitted):
        _clean_copy(submitted).rename(submitted)


def interrupted(submitted: Path) -> bool:
    """Whether intake of this hand-in has moved it away and not yet put the clean copy in its place."""
    return _clean_copy(submitted).is_dir() and not submitted.exists() and not submitted.is_symlink()


def _clean_copy(submitted: Path) -> Path:
    return submitted.with_name(f".{submitted.name}.intake")


def digest(folder: Path) -> str:
    """A hash over the names and contents of a folder of regular files; anything else changes it."""
    if folder.is_symlink() or not folder.is_dir():
        return "not a folder"
    total = hashlib.sha256()
    for entry in sorted(folder.iterdir()):
        content, problem = read_regular(entry, NOTEBOOK_BYTES)
        total.update(os.fsencode(entry.name) + f":{problem}:{hashlib.sha256(content).hexdigest()};".encode())
    return total.hexdigest()
