"""What programs ask: nbgrader's exchange in a student's server, and the course's collecting.

`openapi.py` describes the same addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, Any

from tornado.web import HTTPError, stream_request_body

from handin.deadlines import Deadline
from handin.package import CHUNK, PACKAGE_BYTES
from handin.service.base import Api
from handin.service.openapi import description
from handin.store import Store
from handin.tables import Attempt

PAGE_BYTES = 10 << 20
"""One page of feedback."""
WIRE_BYTES = PACKAGE_BYTES + (1 << 20)
"""An archive whose files cannot be compressed is a little larger than they are."""


def attempt_json(attempt: Attempt, pages: dict[str, str], *, late: bool) -> dict[str, Any]:
    """An attempt as programs see it: `due` as it was then, `late` by the deadline of now."""
    return {
        "id": attempt.id,
        "lab": attempt.lab,
        "student": attempt.student,
        "number": attempt.number,
        "received": attempt.received.isoformat(),
        "sha256": attempt.sha256,
        "files": attempt.files,
        "due": attempt.due.isoformat() if attempt.due else None,
        "late": late,
        "feedback": pages,
    }


def attempts_json(store: Store, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Attempts as programs see them, with their pages of feedback."""
    pages, late = store.feedback([attempt.id for attempt in attempts]), store.late(attempts)
    return [attempt_json(one, pages.get(one.id, {}), late=one.id in late) for one in attempts]


def deadline_json(deadline: Deadline | None) -> dict[str, str | None]:
    """A student's own deadline of a lab."""
    due = deadline.due.isoformat() if deadline else None
    return {"due": due, "closes": deadline.closes.isoformat() if deadline and deadline.closes else None}


class Overview(Api):
    """`GET api/overview`: the labs that are out, with my deadlines, and everything I handed in."""

    async def get(self) -> None:
        """Answer in JSON."""
        store, student = self.state.store, self.student
        labs = await self.work(self.state.published.labs)
        deadlines = await self.work(store.deadlines, student)
        attempts = await self.work(store.attempts, student=student)
        self.finish(
            {
                "student": student,
                "labs": [
                    {"lab": lab, "files": files, **deadline_json(deadlines.get(lab))}
                    for lab, files in labs.items()
                ],
                "attempts": await self.work(attempts_json, store, attempts),
            }
        )


class LabPackage(Api):
    """`GET api/labs/LAB/package`: the lab's files, as a zip archive."""

    async def get(self, lab: str) -> None:
        """Answer with the archive."""
        try:
            content = await self.work(self.state.published.package, lab)
        except KeyError:
            raise HTTPError(404, f"{lab} is not released") from None
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Disposition", f'attachment; filename="{lab}.zip"')
        self.finish(content)


@stream_request_body
class HandIn(Api):
    """`POST api/labs/LAB/attempts`: hand in; the body is a zip archive. The answer is the receipt."""

    def initialize(self) -> None:
        """Nothing has arrived yet."""
        self._open = ExitStack()
        self._body: IO[bytes] | None = None
        self._failure: HTTPError | None = None
        self._received = self.settings["state"].store.clock()

    async def prepare(self) -> None:
        """Refuse what can be refused before the first byte is written."""
        connection: Any = self.request.connection
        connection.set_max_body_size(WIRE_BYTES)
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > WIRE_BYTES:
            raise HTTPError(413, f"a hand-in is at most {PACKAGE_BYTES >> 20} MiB. Leave large files out")
        await super().prepare()
        self.limit(self.state.hand_ins)
        _ = self.student
        if self.request.method == "POST":
            await self.work(self.state.store.require_space)
            self._body = self._open.enter_context(self.state.store.packages.unfinished())

    async def data_received(self, chunk: bytes) -> None:
        """Write what has arrived. After a failure the rest is taken and thrown away: whoever is still sending
        would not read an answer."""
        if self._body is not None and self._failure is None:
            try:
                await self.work(self._body.write, chunk)
            except HTTPError as failure:
                self._failure = failure

    async def post(self, lab: str) -> None:
        """Keep the attempt and answer with its receipt, once it is on disk."""
        if self._failure is not None:
            raise self._failure
        assert self._body is not None  # opened by `prepare`
        if not await self.work(self.state.published.has, lab):
            raise HTTPError(404, f"{lab} is not released, so nothing can be handed in for it")
        self._body.seek(0)
        attempt = await self.work(
            self.state.store.hand_in, lab, self.student, self._body, received=self._received
        )
        self.set_status(201)
        # it is kept: nothing that can fail comes between it and its receipt
        late = attempt.due is not None and attempt.received > attempt.due
        self.finish(attempt_json(attempt, {}, late=late))

    def on_finish(self) -> None:
        """Remove the archive that arrived."""
        self._open.close()
        super().on_finish()

    def on_connection_close(self) -> None:
        """Half an upload leaves nothing."""
        self._open.close()
        super().on_connection_close()


class AttemptPackage(Api):
    """`GET api/attempts/N/package`: what was handed in."""

    async def get(self, number: str) -> None:
        """Answer with the archive."""
        attempt = await self.attempt_for_reader(number)
        self.set_header("Content-Type", "application/zip")
        self.set_header(
            "Content-Disposition", f'attachment; filename="{attempt.lab}-attempt-{attempt.number}.zip"'
        )
        with await self.work(self.state.store.packages.open, attempt.sha256) as file:
            while chunk := await self.work(file.read, CHUNK):
                self.write(chunk)
                await self.flush()  # not more in memory than the reader takes
        self.finish()


@stream_request_body
class FeedbackPage(Api):
    """`api/attempts/N/feedback/NOTEBOOK`: the page about one notebook; read by its student, written by the course."""

    def initialize(self) -> None:
        """Nothing has arrived yet."""
        self._page = bytearray()

    async def prepare(self) -> None:
        """A page is taken from the course alone, and only then may it be larger than other requests."""
        await super().prepare()
        if self.request.method == "PUT":
            self.require_collector()
            connection: Any = self.request.connection
            connection.set_max_body_size(PAGE_BYTES)

    def data_received(self, chunk: bytes) -> None:
        """Gather the page; the server counts its bytes."""
        self._page += chunk

    async def get(self, number: str, notebook: str) -> None:
        """Answer with the page, which may run and load nothing."""
        attempt = await self.attempt_for_reader(number)
        pages = (await self.work(self.state.store.feedback, [attempt.id])).get(attempt.id, {})
        if notebook not in pages:
            raise HTTPError(404, f"there is no feedback on {notebook} yet")
        content = await self.work(self.state.store.pages.path(pages[notebook]).read_bytes)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        )
        self.finish(content)

    async def put(self, number: str, notebook: str) -> None:
        """Take the page. The student sees it from now on."""
        attempt = await self.attempt_for_reader(number)
        self.require_student(attempt)
        if f"{notebook}.ipynb" not in attempt.files:
            raise HTTPError(404, f"attempt {number} has no notebook {notebook}")
        await self.work(self.state.store.put_feedback, attempt.id, notebook, bytes(self._page))
        self.set_status(204)


class Description(Api):
    """`GET api/openapi.json`: these addresses for programs."""

    async def get(self) -> None:
        """Answer in JSON."""
        self.finish(description(self.settings["prefix"]))


class NoSuchAddress(Api):
    """Everything else below `api/`."""

    async def prepare(self) -> None:
        """404 for those who may be here."""
        await super().prepare()
        raise HTTPError(404)
