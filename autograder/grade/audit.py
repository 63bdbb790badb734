"""Compare what the receipts say with what the gradebook holds, and walk the staff's journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nbgrader.api import Gradebook

from autograder.actions import journal
from autograder.chain import FIRST
from autograder.course import Instance
from autograder.errors import ReceiptError
from autograder.grade.current import Latest, is_deleted, is_withdrawn, scores_of, verdict_is
from autograder.grade.receipts import UNREADABLE, Receipts
from autograder.gradebook import gradebook_exists, open_gradebook
from autograder.nbgrader_api import quiet


@dataclass(frozen=True)
class Audit:
    """`head` is the hash of the last receipt, `actions_head` that of the last line of the staff's journal: who keeps
    them can prove later that nothing before them was changed. `broken` says that one of the two cannot be read."""

    receipts: int
    head: str
    problems: list[str]
    actions: int = 0
    actions_head: str = FIRST
    broken: bool = False


def audit(instance: Instance, known_head: str = "") -> Audit:
    """Check both chains, and that the gradebook and the stored verdicts say what the last receipts say.

    `known_head` is a head that was kept earlier; it has to be in one of the chains.
    """
    try:
        chain = list(Receipts(instance.receipts).read())
        actions = list(journal(instance).read())
    except ReceiptError as error:
        return Audit(0, "", [str(error)], broken=True)
    problems = []
    if known_head and known_head != FIRST and known_head not in {line["hash"] for line in [*chain, *actions]}:
        problems.append(
            f"{instance.receipts}: no receipt has the hash {known_head}, nor has a line of the staff's journal: "
            "receipts were removed, or lines of the journal"
        )
    known = {FIRST, UNREADABLE, *(line["hash"] for line in actions)}
    lost = [line["number"] for line in chain if line.get("actions", FIRST) not in known]
    if lost:
        problems.append(
            f"{journal(instance).file}: it lacks lines that stood there when receipt {lost[0]} was written"
        )
    unreadable = [line["number"] for line in chain if line.get("actions") == UNREADABLE]
    if unreadable:
        problems.append(
            f"{journal(instance).file}: it could not be read when receipt {unreadable[0]} was written"
        )
    latest = {(item["lab"], item["student"], item["notebook"]): item for item in chain}
    problems += _verdicts(instance, latest)
    if gradebook_exists(instance):
        with open_gradebook(instance) as gradebook, quiet():
            problems += _scores(gradebook, latest)
    return Audit(
        len(chain),
        chain[-1]["hash"] if chain else FIRST,
        problems,
        len(actions),
        actions[-1]["hash"] if actions else FIRST,
    )


def _verdicts(instance: Instance, latest: Latest) -> Iterator[str]:
    for (lab, student, notebook), receipt in sorted(latest.items()):
        if is_withdrawn(receipt) or is_deleted(receipt):
            continue
        file = instance.verdicts / lab / student / f"{notebook}.json"
        if not file.is_file():
            yield f"{file} is missing; grading the hand-in again writes it"
        elif not verdict_is(instance, receipt):
            yield f"{file} is not the verdict of receipt {receipt['number']}"


def _scores(gradebook: Gradebook, latest: Latest) -> Iterator[str]:
    """Automatic scores that are not those of the last receipt; scores by hand are a person's and are left alone."""
    seen = set()
    for assignment in gradebook.assignments:
        for submission in gradebook.assignment_submissions(assignment.name):
            for notebook in submission.notebooks:
                key = (assignment.name, submission.student_id, notebook.name)
                scores = scores_of(notebook)
                where = f"{key[1]}, {key[0]}, {key[2]}"
                receipt = latest.get(key)
                if receipt is None or is_deleted(receipt):
                    if any(scores.values()):  # nbgrader writes 0 for a notebook that was not handed in
                        yield f"{where}: scores without a receipt; they were not written by the judge"
                    continue
                seen.add(key)
                for cell in receipt["cells"]:
                    found = scores.get(cell["grade_id"])
                    if found != cell["points"]:
                        yield (
                            f"{where}, {cell['grade_id']}: the gradebook says {found}, "
                            f"receipt {receipt['number']} says {cell['points']:g}"
                        )
    expected = {key for key, receipt in latest.items() if not is_deleted(receipt)}
    for lab, student, notebook in sorted(expected - seen):
        yield f"{student}, {lab}, {notebook}: there is a receipt, but no grade in the gradebook"
