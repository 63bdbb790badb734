"""Talk to the hand-in service; what it refuses comes back as its own words."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote

import requests

from handin.errors import Refused, Unreachable
from handin.package import read_package, write_package

CONNECT_SECONDS = 5
READ_SECONDS = 5
"""For a list. A student's server waits for it and answers nobody meanwhile, also when the service hangs."""
PACKAGE_SECONDS = 120
"""For packages and pages, which take their time, and for what changes something: whoever gives up on a change does
not know whether it was made, and the service may wait for its database."""


class Client:
    """The service at `url`, asked in the name of the owner of `token`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the machine would see the token
        self._session.headers["Authorization"] = f"token {token}"

    def overview(self) -> dict[str, Any]:
        """The labs that are out, with my deadlines, and my attempts."""
        return self._list("overview")

    def fetch(self, lab: str) -> dict[str, bytes]:
        """A lab's files."""
        return self._files(f"labs/{lab}/package")

    def hand_in(self, lab: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Hand in; return the attempt with its receipt. Raises NotAPackage, Refused, Unreachable."""
        package = io.BytesIO()
        write_package(files, package)
        package.seek(0)  # sent in blocks: bytes would have to be through as a whole within one time limit
        return dict(self._ask("POST", f"labs/{lab}/attempts", package, "application/zip").json())

    def newest(self, lab: str) -> list[dict[str, Any]]:
        """The last attempt of each student, for collecting."""
        return self._list(f"labs/{lab}/newest")["attempts"]  # type: ignore[no-any-return]

    def attempt(self, number: int) -> dict[str, bytes]:
        """What was handed in."""
        return self._files(f"attempts/{number}/package")

    def feedback(self, number: int, notebook: str) -> bytes:
        """The page about one notebook."""
        return bytes(self._ask("GET", f"attempts/{number}/feedback/{notebook}").content)

    def put_feedback(self, number: int, student: str, notebook: str, page: bytes) -> None:
        """Give the page about one notebook of a student's attempt back."""
        self._ask("PUT", f"attempts/{number}/feedback/{notebook}?student={quote(student)}", page, "text/html")

    def put_score(self, number: int, student: str, score: float, maximum: float) -> None:
        """Tell the student of an attempt its score."""
        text = json.dumps({"score": score, "maximum": maximum}).encode()
        self._ask("PUT", f"attempts/{number}/score?student={quote(student)}", text, "application/json")

    def asked(self) -> list[dict[str, Any]]:
        """Every request to look at a grade again, the oldest first."""
        return self._list("requests")["requests"]  # type: ignore[no-any-return]

    def answer(self, number: int, text: str, *, replace: bool = False) -> None:
        """Answer a request. Raises Refused when it has another answer already, unless that is to be replaced."""
        how = "?replace=1" if replace else ""
        self._ask("PUT", f"requests/{number}/answer{how}", text.encode(), "text/plain; charset=utf-8")

    def set_deadline(self, lab: str, due: str, closes: str | None, extensions: Mapping[str, str]) -> None:
        """Set a lab's deadline and every extension; times in ISO 8601 with a zone."""
        text = json.dumps({"due": due, "closes": closes, "extensions": dict(extensions)}).encode()
        self._ask("PUT", f"labs/{lab}/deadline", text, "application/json")

    def student(self, name: str) -> list[dict[str, Any]]:
        """Every attempt of one person."""
        return self._list(f"students/{name}")["attempts"]  # type: ignore[no-any-return]

    def forget(self, name: str, up_to: int | None = None) -> int:
        """Delete everything of one person, but for attempts with an id beyond `up_to`; return how many they were."""
        limit = f"?up_to={up_to}" if up_to is not None else ""
        return int(self._ask("DELETE", f"students/{name}{limit}").json()["attempts"])

    def _list(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", path, seconds=READ_SECONDS).json()
        return answer

    def _files(self, path: str) -> dict[str, bytes]:
        return dict(read_package(io.BytesIO(self._ask("GET", path).content)))

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        kind: str = "",
        *,
        seconds: float | None = None,
    ) -> requests.Response:
        headers = {"Content-Type": kind} if kind else {}
        # urllib3 sends under the limit for connecting, and a service that takes a whole class reads slowly
        sending = CONNECT_SECONDS if body is None else PACKAGE_SECONDS
        try:
            answer = self._session.request(
                method,
                f"{self.url}/api/{path}",
                data=body,
                headers=headers,
                timeout=(sending, PACKAGE_SECONDS if seconds is None else seconds),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unreachable(
                f"the hand-in service at {self.url} does not answer ({type(error).__name__}). Your files are where "
                "they were; try again in a minute, and tell an instructor if it stays so"
            ) from error
        if answer.ok and answer.status_code < 300:
            return answer
        if answer.status_code in (502, 503, 504):
            raise Unreachable(
                f"the hand-in service at {self.url} is not running, or starting again. Your files are where they were; "
                "try again in a minute"
            )
        raise Refused(answer.status_code, _why(answer))


def _why(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the hand-in service answered {answer.status_code} {answer.reason}"
