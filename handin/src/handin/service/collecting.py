"""What the course alone asks: collecting, deadlines, scores, answers, and what is kept about one person."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tornado.web import HTTPError

from handin import grades
from handin.deadlines import read_time
from handin.service.api import attempt_json, attempts_json
from handin.service.base import Api, row_number


class AttemptScore(Api):
    """`PUT api/attempts/N/score`: what an attempt was graded with, for its student to see."""

    async def put(self, number: str) -> None:
        """Take it."""
        self.require_collector()
        attempt = await self.attempt_for_reader(number)
        self.require_student(attempt)
        score, maximum = _score_from(self.request.body)
        await self.work(grades.put_score, self.state.store, attempt.id, score, maximum)
        self.set_status(204)


class Requests(Api):
    """`GET api/requests`: every request to look at a grade again."""

    async def get(self) -> None:
        """Answer in JSON."""
        self.require_collector()
        found = await self.work(grades.requests, self.state.store)
        self.finish({"requests": [request_json(one) for one in found]})


class Answer(Api):
    """`PUT api/requests/N/answer`: the answer to a request, as plain text; with `?replace=1` in place of another."""

    async def put(self, number: str) -> None:
        """Take it; the student sees it on the page of the lab."""
        self.require_collector()
        text = self.request.body.decode("utf-8", "replace")
        if not text.strip():
            raise HTTPError(400, "an answer says something")
        replace = self.get_query_argument("replace", "") == "1"
        await self.work(grades.answer, self.state.store, row_number(number), text, replace=replace)
        self.set_status(204)


class Collection(Api):
    """`GET api/labs/LAB/newest`: the last attempt of each student, for the course's collecting."""

    async def get(self, lab: str) -> None:
        """Answer in JSON."""
        self.require_collector()
        store = self.state.store
        attempts = await self.work(store.newest, lab)
        late = await self.work(store.late, attempts)
        self.finish({"attempts": [attempt_json(one, {}, late=one.id in late) for one in attempts]})


class LabDeadline(Api):
    """`PUT api/labs/LAB/deadline`: a lab's deadline and every extension of it, as the course has decided."""

    async def put(self, lab: str) -> None:
        """Replace what was known."""
        self.require_collector()
        due, closes, extensions = _deadline_from(self.request.body)
        await self.work(self.state.store.set_deadline, lab, due, closes, extensions)
        self.set_status(204)


class StudentData(Api):
    """`api/students/NAME`: everything that is kept about one person, to be read or deleted by the course."""

    async def get(self, student: str) -> None:
        """Answer in JSON; the archives are fetched one by one."""
        self.require_collector()
        attempts = await self.work(self.state.store.attempts, student=student)
        self.finish({"attempts": await self.work(attempts_json, self.state.store, attempts)})

    async def delete(self, student: str) -> None:
        """Delete it all, or attempts up to the id `up_to`. It cannot be brought back."""
        self.require_collector()
        last = self.get_query_argument("up_to", "")
        if last and not (last.isascii() and last.isdecimal()):
            raise HTTPError(400, "up_to is the id of an attempt")
        up_to = row_number(last) if last else None
        self.finish({"attempts": await self.work(self.state.store.forget, student, up_to)})


def request_json(one: grades.Asked) -> dict[str, Any]:
    """A request as programs see it."""
    times = {
        name: when.isoformat() if when else None
        for name, when in (("asked", one.asked), ("answered", one.answered))
    }
    return {**asdict(one), **times}


def _score_from(body: bytes) -> tuple[float, float]:
    """Raises HTTPError 400."""
    try:
        given = json.loads(body)
        score, maximum = float(given["score"]), float(given["maximum"])
        if not (math.isfinite(score) and math.isfinite(maximum) and score >= 0 and maximum >= 0):
            raise ValueError(f"{score} of {maximum}")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise HTTPError(400, f"this is no score: {error}") from error
    return score, maximum


def _deadline_from(body: bytes) -> tuple[datetime, datetime | None, dict[str, datetime]]:
    """What a request to set a deadline holds. Raises HTTPError 400 naming the field."""
    try:
        given = json.loads(body)
        due = read_time(given["due"])
        closes = None if given.get("closes") is None else read_time(given["closes"])
        extensions = {str(name): read_time(until) for name, until in given.get("extensions", {}).items()}
    except KeyError as missing:
        raise HTTPError(400, f"the field {missing} is missing") from missing
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise HTTPError(400, f"this is no deadline: {error}") from error
    if closes is not None and closes < due:
        raise HTTPError(400, "a lab cannot close before it is due")
    return due, closes, extensions
