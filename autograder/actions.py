"""Who of the staff did what: `actions.jsonl` of an instance, a chained journal beside the receipts of grades.

Receipts prove what the judge wrote. This says who pressed a button, gave a score by hand, moved a deadline or took a
student out of the class. It holds names and numbers, and nothing that a student wrote.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autograder.chain import Chain
from autograder.course import Instance

WHO_VARIABLE = "COURSE_WHO"
"""Environment variable with the person for whom the course service runs a command."""


@dataclass(frozen=True)
class Action:
    """One thing that somebody did. `lab` and `student` are empty where it was about none; `when` has a zone."""

    number: int
    when: datetime
    who: str
    what: str
    lab: str
    student: str


def operator() -> str:
    """Who runs this process: whoever pressed a button of the course service, else the account that logged in."""
    try:
        return os.environ.get(WHO_VARIABLE) or os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return f"account {os.getuid()}"


def note(instance: Instance, what: str, *, who: str = "", lab: str = "", student: str = "") -> None:
    """Write down for good that somebody, by default who runs this process, has done something."""
    journal(instance).append({"who": who or operator(), "what": what, "lab": lab, "student": student})


def journal(instance: Instance) -> Chain:
    """The journal of an instance."""
    return beside(instance.receipts)


def beside(receipts: Path) -> Chain:
    """The journal that lies beside a file of receipts."""
    return Chain(receipts.with_name("actions.jsonl"))


def read_actions(instance: Instance) -> Iterator[Action]:
    """Every action, the oldest first. Raises ReceiptError where the journal was tampered with."""
    for line in journal(instance).read():
        when = datetime.fromisoformat(line["when"])
        yield Action(line["number"], when, line["who"], line["what"], line["lab"], line["student"])
