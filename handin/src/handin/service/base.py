"""What every request has in common: who asks, how often, and how an error is told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from jinja2 import Environment
from jupyterhub.services.auth import HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from handin.errors import HandInError, NotAPackage, Refused
from handin.published import Published
from handin.rate import Rate
from handin.store import Store
from handin.tables import Attempt

P = ParamSpec("P")
T = TypeVar("T")
LAB = r"([A-Za-z0-9][A-Za-z0-9_.-]{0,99})"
"""What the name of a lab or a notebook looks like in an address."""
PERSON = r"([A-Za-z0-9_][A-Za-z0-9_.@-]{0,63})"
"""What a student's name may look like: it becomes the name of a folder."""
SMALL_BYTES = 1 << 16
"""Body of any request that is not made for more: it is held in memory before anybody is asked who sends it."""
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)


@dataclass
class State:
    """What the handlers share."""

    store: Store
    published: Published
    pages: Environment
    collector: str
    """The Hub's service, not a person, that sees every hand-in."""
    requests: Rate
    running: set[object] = field(default_factory=set)
    """Requests that are being answered."""
    hand_ins: Rate = field(default_factory=lambda: Rate(30, 600))


class Handler(HubOAuthenticated, RequestHandler):  # type: ignore[misc]
    """A request of somebody whom the Hub knows. Without a login it is refused, or sent to log in."""

    @property
    def state(self) -> State:
        """What the handlers share."""
        return self.settings["state"]  # type: ignore[no-any-return]

    refused = False
    """Whether the answer is an error."""

    def set_default_headers(self) -> None:
        """Nothing is cached, framed elsewhere, or taken for another kind."""
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        if self.refused and self.request.method in ("POST", "PUT"):
            self.set_header("Connection", "close")

    def send_error(self, status_code: int = 500, **named: Any) -> None:
        """Answer with an error.

        Tornado ends the connection when a body was not read to its end and does not say so: a proxy that keeps
        connections would send somebody's next request into this one, and lose it.
        """
        self.refused = True
        super().send_error(status_code, **named)

    def on_finish(self) -> None:
        """It is answered."""
        self.state.running.discard(self)

    def on_connection_close(self) -> None:
        """Nobody waits for the answer."""
        self.state.running.discard(self)
        super().on_connection_close()

    async def prepare(self) -> None:
        """Ask the Hub who this is, without keeping others waiting, and count the request."""
        try:
            self.state.running.add(self)
            await self.hub_auth.get_user(self, sync=False)
        except HTTPError as error:
            if error.status_code == 403:  # the Hub refused our own token, or the cookie's origin
                raise
            text = "JupyterHub does not answer, so nobody can be recognised. Try again in a minute"
            raise HTTPError(503, text) from error
        if not self.current_user:
            if known := self._cached_hub_user:
                raise HTTPError(403, f"{known['name']} may not use the hand-in service. Ask an instructor")
            self.refuse_stranger()
            return
        if not self.is_collector:  # giving feedback to a class is thousands of requests
            self.limit(self.state.requests)

    def refuse_stranger(self) -> None:
        """Nobody is logged in, or their login has ended, or they may not be here."""
        raise HTTPError(
            401, "this token is not, or no longer, one of the Hub's. Log in again, or restart your server"
        )

    def limit(self, rate: Rate) -> None:
        """Count a request of this person. Raises HTTPError 429."""
        wait = rate.wait((self.current_user["kind"], self.current_user["name"]))
        if wait > 0:
            self.set_header("Retry-After", str(math.ceil(wait)))
            raise HTTPError(
                429, f"too many requests. Try again in {math.ceil(wait)} seconds; nothing was changed"
            )

    @property
    def is_collector(self) -> bool:
        """Whether the course's collecting asks."""
        return bool(
            self.current_user["kind"] == "service" and self.current_user["name"] == self.state.collector
        )

    def require_student(self, attempt: Attempt) -> None:
        """Raise HTTPError 409 unless the attempt is that of the student whom the course means.

        A service that was brought back from an older backup would know another one under the same number.
        """
        if self.get_query_argument("student", "") != attempt.student:
            raise HTTPError(409, f"attempt {attempt.id} is not of that student: collect the lab again")

    def require_collector(self) -> None:
        """Raise HTTPError 403 for everybody else."""
        if not self.is_collector:
            raise HTTPError(403, "only the course's own collecting may do this")

    @property
    def student(self) -> str:
        """The person who asks. Raises HTTPError 403 for a service."""
        if self.current_user["kind"] != "user":
            raise HTTPError(403, "a service hands nothing in; a person's token is needed")
        return str(self.current_user["name"])

    async def attempt_for_reader(self, number: str) -> Attempt:
        """An attempt of the person's own, or any for the collector.

        Another's attempt is answered as one that does not exist, which tells nobody who handed in.
        """
        attempt = await self.work(self.state.store.attempt, row_number(number))
        if attempt is None or not (self.is_collector or attempt.student == self.student):
            raise HTTPError(404, "you have no such hand-in")
        return attempt

    async def work(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run something that touches the disk in a thread; what it refuses becomes the answer."""
        try:
            return await asyncio.to_thread(function, *arguments, **named)
        except Refused as refused:
            raise HTTPError(refused.status, str(refused)) from refused
        except NotAPackage as refused:
            raise HTTPError(400, f"{refused}. Nothing was handed in") from refused
        except HandInError as error:
            raise HTTPError(500, str(error)) from error
        except OSError as error:
            raise self._of_the_disk(error) from error

    def _of_the_disk(self, error: OSError) -> HTTPError:
        """What to answer when a file could not be written, or not be read."""
        if self.request.method in ("POST", "PUT"):
            return HTTPError(
                507,
                f"the hand-in could not be written ({error.strerror}). Nothing was handed in: tell an instructor",
            )
        said = f"the hand-in service cannot get at one of its files ({error.strerror})"
        if self.request.method == "DELETE":
            return HTTPError(500, f"{said}. A part may be deleted: send the same again when that is mended")
        return HTTPError(500, f"{said}. Nothing that you handed in was changed: tell an instructor")

    def error_text(self, status: int, **named: Any) -> str:
        """What to tell about an error: the text that was meant for people, and nothing of a fault of ours."""
        error = named.get("exc_info", (None, None))[1]
        if isinstance(error, HTTPError) and error.log_message:
            return str(error.log_message % error.args)  # tornado has doubled each % of ours
        return {404: "there is no such page", 405: "this address does not take such a request"}.get(
            status, "the hand-in service failed; nothing was changed. Try again, then tell an instructor"
        )


def row_number(digits: str) -> int:
    """The number of a row in an address; one that no database can hold is none's."""
    return int(digits) if len(digits) < 10 else 0


class Api(Handler):
    """A request answered in JSON."""

    def write_error(self, status_code: int, **named: Any) -> None:
        """The error as JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish({"error": self.error_text(status_code, **named)})
