"""How things stand: enough to tell whether anything was handed in, graded, asked or done since."""

from __future__ import annotations

from dataclasses import dataclass

from handin.errors import HandInError

from autograder.actions import journal
from autograder.course import Course, Instance, outbound
from autograder.grade.receipts import Receipts
from autograder.handin import has_service, service, told

Attempts = list[tuple[str, str, int, int]]
"""Lab, student, number and the service's id of the newest attempt of each student."""


@dataclass(frozen=True)
class Standing:
    """Hashes of the last receipt and the last action; requests to look again, and how many are answered."""

    attempts: Attempts
    receipts_head: str
    actions_head: str
    asked: int
    answered: int


def labs_of(instance: Instance, course: Course) -> list[str]:
    """Every lab that may have attempts: of the course, built once, or still published."""
    published = outbound(instance.exchange).glob("[!.]*")
    return sorted(
        {lab.id for lab in course.labs}
        | {file.stem for file in instance.bundles.glob("*.json")}
        | {folder.name for folder in published if folder.is_dir()}
    )


def standing(instance: Instance, course: Course) -> Standing:
    """How things stand now. Raises IntakeError when the hand-in service does not answer, ReceiptError."""
    attempts: Attempts = []
    asked = []
    if has_service(instance):
        client = service(instance)
        try:
            attempts = [
                (lab, str(one["student"]), int(one["number"]), int(one["id"]))
                for lab in labs_of(instance, course)
                for one in client.newest(lab)
            ]
            asked = client.asked()
        except HandInError as error:
            raise told(error, "the hand-in service could not be asked what it holds") from error
    answered = sum(one["answered"] is not None for one in asked)
    heads = Receipts(instance.receipts).head(), journal(instance).head()
    return Standing(attempts, *heads, len(asked), answered)


def happened_since(then: Standing, now: Standing) -> list[str]:
    """What `now` has and `then` had not, in words; empty when nothing happened."""
    found = []
    later = sorted({(student, lab) for lab, student, *_ in set(now.attempts) - set(then.attempts)})
    if later:
        found.append(f"{len(later)} hand-ins ({', '.join(f'{who}, {lab}' for who, lab in later[:3])})")
    if now.receipts_head != then.receipts_head:
        found.append("grades")
    if now.actions_head != then.actions_head:
        found.append("actions of the staff")
    if (now.asked, now.answered) != (then.asked, then.answered):
        found.append("requests to look at a grade again")
    return found
