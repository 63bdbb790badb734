"""What a student sees in a browser: deadlines, attempts with their receipts, feedback, and a form to hand in."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from jupyterhub.services.auth import HubOAuthCallbackHandler
from tornado.httputil import HTTPInputError, parse_body_arguments
from tornado.web import HTTPError, authenticated, stream_request_body

from handin import grades
from handin.package import MOST_FILES, PACKAGE_BYTES, write_package
from handin.service.base import Handler
from handin.tables import Attempt

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
FORM_BYTES = 30 << 20
"""A form is held in memory; what is larger is handed in from JupyterLab."""

NOTHING = "Nothing was handed in"


def page_environment(time_zone: str) -> jinja2.Environment:
    """The templates; times are shown in the course's time zone."""
    zone = ZoneInfo(time_zone)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def moment(when: datetime) -> str:
        return when.astimezone(zone).strftime("%a %d %b %Y, %H:%M")

    def second(when: datetime) -> str:
        """For an arrival, which may be in the minute of its deadline and yet after it."""
        return when.astimezone(zone).strftime("%a %d %b %Y, %H:%M:%S")

    def size(number: int) -> str:
        return f"{number / (1 << 20):.3g} MiB" if number >= 1 << 20 else f"{-(-number // 1024)} KiB"

    environment.filters |= {"moment": moment, "second": second, "size": size}
    environment.globals |= {"time_zone": time_zone}
    return environment


class Page(Handler):
    """A page. Who is not logged in is sent to the Hub and comes back."""

    def refuse_stranger(self) -> None:
        """A page to look at sends people to log in; the decorator of `get` does it."""
        if self.request.method not in ("GET", "HEAD"):
            raise HTTPError(
                403,
                "your login has ended while the page was open. Load the page again; nothing was handed in",
            )

    def show(self, template: str, **values: Any) -> None:
        """Render a template as the answer."""
        page = self.state.pages.get_template(template).render(
            prefix=self.settings["prefix"], user=self.current_user, **values
        )
        self.finish(page)

    def write_error(self, status_code: int, **named: Any) -> None:
        """The error as a page."""
        page = self.state.pages.get_template("error.html").render(
            prefix=self.settings["prefix"],
            user=None,
            status=status_code,
            text=self.error_text(status_code, **named),
        )
        self.finish(page)

    def moment(self) -> datetime:
        """Now, by the clock that counts."""
        return self.state.store.clock()


class Labs(Page):
    """`/`: every lab that is out, its deadline, and how many attempts I have."""

    @authenticated
    async def get(self) -> None:
        """The page."""
        store = self.state.store
        labs = await self.work(self.state.published.labs)
        deadlines = await self.work(store.deadlines, self.student)
        attempts = await self.work(store.attempts, student=self.student)
        pages = await self.work(store.feedback, [attempt.id for attempt in attempts])
        mine: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            mine.setdefault(attempt.lab, []).append(attempt)
        self.show(
            "labs.html",
            labs=sorted(
                {*labs, *mine}, key=lambda lab: (lab not in deadlines, _due(deadlines.get(lab)), lab)
            ),
            deadlines=deadlines,
            attempts=mine,
            feedback=pages,
            scores=await self.work(grades.scores, store, [attempt.id for attempt in attempts]),
            late=await self.work(store.late, attempts),
            now=self.moment(),
        )


@stream_request_body
class OneLab(Page):
    """`/labs/LAB`: my attempts for one lab, with receipts and feedback, and the form."""

    def initialize(self) -> None:
        """Nothing has arrived yet."""
        self._body = bytearray()
        self._received = self.moment()

    async def prepare(self) -> None:
        """Who sends a form is asked before it is here, so the token against forged forms is in the address."""
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > FORM_BYTES:
            raise HTTPError(
                413,
                f"a form takes at most {FORM_BYTES >> 20} MiB. Hand in from JupyterLab, or less. {NOTHING}",
            )
        await super().prepare()
        if self.request.method == "POST":
            self.limit(self.state.hand_ins)
            await self.work(self.state.store.require_space)
            connection: Any = self.request.connection
            connection.set_max_body_size(FORM_BYTES)

    def data_received(self, chunk: bytes) -> None:
        """Gather the form; the server counts its bytes."""
        self._body += chunk

    def _read_form(self) -> None:
        """Raises HTTPError 400 when the body is no form, or has too many parts."""
        request = self.request
        kind = request.headers.get("Content-Type", "")
        try:
            parse_body_arguments(kind, bytes(self._body), request.body_arguments, request.files)
        except HTTPInputError as error:
            raise HTTPError(
                400,
                f"this form cannot be read ({error}); a hand-in has at most {MOST_FILES} files. {NOTHING}",
            ) from error

    @authenticated
    async def get(self, lab: str) -> None:
        """The page."""
        await self._show(lab)

    async def post(self, lab: str) -> None:
        """Hand in the files of the form; the page then shows the receipt."""
        self._read_form()
        if not await self.work(self.state.published.has, lab):
            raise HTTPError(404, f"{lab} is not released, so nothing can be handed in for it")
        given = [one for one in self.request.files.get("files", []) if one["filename"]]
        if len(given) == 1 and given[0]["filename"].lower().endswith(".zip"):
            package = io.BytesIO(given[0]["body"])
        else:
            names = [one["filename"] for one in given]
            if len(set(names)) < len(names):
                raise HTTPError(400, "two of the files have the same name. Nothing was handed in")
            package = io.BytesIO()
            await self.work(write_package, {one["filename"]: one["body"] for one in given}, package)
            package.seek(0)
        attempt = await self.work(self.state.store.hand_in, lab, self.student, package, self._received)
        # by address, so that loading the page again does not hand in again
        self.redirect(f"{self.settings['prefix']}labs/{lab}?received={attempt.number}")

    async def _show(self, lab: str) -> None:
        store = self.state.store
        attempts = await self.work(store.attempts, student=self.student, lab=lab)
        labs = await self.work(self.state.published.labs)
        if lab not in labs and not attempts:
            raise HTTPError(404, f"{lab} is not released")
        deadline = (await self.work(store.deadlines, self.student)).get(lab)
        received = self.get_query_argument("received", "")
        self.show(
            "lab.html",
            lab=lab,
            files=[name for name in labs.get(lab, []) if name.endswith(".ipynb")],
            is_out=lab in labs,
            deadline=deadline,
            standing=deadline.standing(self.moment()) if deadline else None,
            attempts=list(reversed(attempts)),
            late=await self.work(store.late, attempts),
            feedback=await self.work(store.feedback, [attempt.id for attempt in attempts]),
            scores=await self.work(grades.scores, store, [attempt.id for attempt in attempts]),
            asked={one.attempt: one for one in await self.work(grades.requests, store, student=self.student)},
            most_characters=grades.TEXT_CHARACTERS,
            received=next((one for one in attempts if str(one.number) == received), None),
            xsrf=self.xsrf_token.decode() if isinstance(self.xsrf_token, bytes) else self.xsrf_token,
            most=FORM_BYTES,
            most_from_lab=PACKAGE_BYTES,
        )


class Ask(Page):
    """`/attempts/N/ask`: ask to look at the grade of an attempt again."""

    async def post(self, number: str) -> None:
        """Send the request of the form."""
        attempt = await self.attempt_for_reader(number)
        await self.work(grades.ask, self.state.store, attempt, self.get_body_argument("text", ""))
        self.redirect(f"{self.settings['prefix']}labs/{attempt.lab}#attempt-{attempt.number}")


class NoSuchPage(Page):
    """Everything else."""

    async def prepare(self) -> None:
        """404."""
        await super().prepare()
        raise HTTPError(404)


def _due(deadline: Any) -> float:
    return deadline.due.timestamp() if deadline else 0.0


class LoggedIn(HubOAuthCallbackHandler):  # type: ignore[misc]
    """Where the Hub sends a browser back to."""
