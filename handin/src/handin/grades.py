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
    with Session(store.engine) as session, session.begin():
        session.merge(Score(attempt=attempt, score=score, maximum=maximum, written=store.clock()))


def scores(store: Store, attempts: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Score and maximum of each of these attempts that has one."""
    with Session(store.reading) as session:
        found = session.scalars(select(Score).where(Score.attempt.in_(attempts)))
        return {row.attempt: (row.score, row.maximum) for row in found}


def ask(store: Store, attempt: Attempt, text: str) -> None:
    """Ask to look at an attempt's grade again. Raises Refused when there is no grade yet or no text."""
    said = text.strip()
    if not said:
        raise Refused(400, "say what should be looked at again, and why. Nothing was sent")
    if len(said) > TEXT_CHARACTERS:
        raise Refused(400, f"a request has at most {TEXT_CHARACTERS} characters. Nothing was sent")
    if attempt.id not in scores(store, [attempt.id]):
        raise Refused(409, "this attempt is not graded yet, so there is nothing to look at again")
    waiting = [one for one in requests(store, student=attempt.student) if one.answered is None]
    if any(one.attempt == attempt.id for one in waiting):
        raise Refused(409, "you have asked about this attempt already; the answer will be on its page")
    if len(waiting) >= OPEN_REQUESTS:
        raise Refused(429, f"{len(waiting)} requests of yours are waiting. Ask again when one is answered")
    with Session(store.engine) as session, session.begin():
        session.add(Request(attempt=attempt.id, text=said, asked=store.clock()))


def answer(store: Store, request: int, text: str) -> None:
    """Answer a request; an earlier answer is replaced. Raises Refused for an unknown request and for too much text."""
    said = text.strip()
    if len(said) > TEXT_CHARACTERS:
        raise Refused(400, f"an answer has at most {TEXT_CHARACTERS} characters. Nothing was sent")
    with Session(store.engine) as session, session.begin():
        found = session.get(Request, request)
        if found is None:
            raise Refused(404, f"there is no request {request}")
        found.answer, found.answered = said, store.clock()


def requests(store: Store, *, student: str | None = None) -> list[Asked]:
    """Requests by their time, of one student or of all."""
    query = select(Request, Attempt).join(Attempt, Request.attempt == Attempt.id).order_by(Request.id)
    if student is not None:
        query = query.where(Attempt.student == student)
    with Session(store.reading) as session:
        return [
            Asked(row.id, of.id, of.student, of.lab, of.number, row.text, row.asked, row.answer, row.answered)
            for row, of in session.execute(query).tuples()
        ]
