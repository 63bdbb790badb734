"""What a student is told of a grade, and what they ask about it. The grade itself is the course's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from handin.errors import Refused
from handin.store import Store
from handin.tables import Attempt, Request, Score

TEXT_CHARACTERS = 2_000
OPEN_REQUESTS = 5
"""Requests of one student that wait for an answer."""


@dataclass(frozen=True)
class Asked:
    """A request with the attempt it is about."""

    id: int
    attempt: int
    student: str
    lab: str
    number: int
    text: str
    asked: datetime
    answer: str | None
    answered: datetime | None


def put_score(store: Store, attempt: int, score: float, maximum: float) -> None:
    """Tell the student of an attempt its score; an earlier one is replaced."""
    with store.alone() as session:
        session.merge(Score(attempt=attempt, score=score, maximum=maximum, written=store.clock()))


def scores(store: Store, attempts: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Score and maximum of each of these attempts that has one."""
    with Session(store.reading) as session:
        found = session.scalars(select(Score).where(Score.attempt.in_(attempts)))
        return {row.attempt: (row.score, row.maximum) for row in found}


def ask(store: Store, attempt: Attempt, text: str) -> None:
    """Ask to look at an attempt's grade again.

    Raises Refused when there is no grade yet or no text, or when too many requests of the student wait.
    """
    said = text.strip()
    if not said:
        raise Refused(400, "say what should be looked at again, and why. Nothing was sent")
    if len(said) > TEXT_CHARACTERS:
        raise Refused(400, f"a request has at most {TEXT_CHARACTERS} characters. Nothing was sent")
    with store.alone() as session:  # a second click on the button comes after the first is in
        if session.get(Score, attempt.id) is None:
            raise Refused(409, "this attempt is not graded yet, so there is nothing to look at again")
        waiting = [one for one in _requests(session, attempt.student) if one.answered is None]
        if any(one.attempt == attempt.id for one in waiting):
            raise Refused(409, "you have asked about this attempt already; the answer will be on its page")
        if len(waiting) >= OPEN_REQUESTS:
            raise Refused(
                429, f"{len(waiting)} requests of yours are waiting. Ask again when one is answered"
            )
        session.add(Request(attempt=attempt.id, text=said, asked=store.clock()))


def answer(store: Store, request: int, text: str, *, replace: bool = False) -> None:
    """Answer a request. The same answer may be sent again, as after one that was lost on its way.

    Raises Refused for an unknown request, for too much text, and when there is another answer that is not to be
    replaced.
    """
    said = text.strip()
    if len(said) > TEXT_CHARACTERS:
        raise Refused(400, f"an answer has at most {TEXT_CHARACTERS} characters. Nothing was sent")
    with store.alone() as session:
        found = session.get(Request, request)
        if found is None:
            raise Refused(404, f"there is no request {request}")
        if found.answer is not None and not replace:
            if found.answer == said:
                return
            raise Refused(
                409,
                f"request {request} has an answer already, which its student may have read. It was not replaced: "
                "read it first",
            )
        found.answer, found.answered = said, store.clock()


def requests(store: Store, *, student: str | None = None) -> list[Asked]:
    """Requests by their time, of one student or of all."""
    with Session(store.reading) as session:
        return _requests(session, student)


def _requests(session: Session, student: str | None) -> list[Asked]:
    query = select(Request, Attempt).join(Attempt, Request.attempt == Attempt.id).order_by(Request.id)
    if student is not None:
        query = query.where(Attempt.student == student)
    return [
        Asked(row.id, of.id, of.student, of.lab, of.number, row.text, row.asked, row.answer, row.answered)
        for row, of in session.execute(query)
    ]
