"""Every cell of the table in docs/roles.md, asked of a running Hub."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from handin.package import write_package
from handin.service.openapi import description

from autograder.course import ROOT
from autograder.service.permissions import ASSISTANT_ROUTES
from hub_config.running import RunningHub, state_folder
from tests.hub.conftest import needs_root
from tests.hub.requests_as import Session

pytestmark = [needs_root, pytest.mark.timeout(600)]

LAB = "Lab-3.1-Post_Training_Quantization"
NOTEBOOK = "01-Setup_and_Basic_Quantization"
WHO = {"nobody": "", "student": "student1", "assistant": "ta1", "instructor": "instructor1"}
ROW = re.compile(r"^\| ([^|]+) \| `([A-Z]+) (\S+)` \|" + r" (yes|no) \|" * 4, re.MULTILINE)
CELLS = [
    pytest.param(method, path, who, answer == "yes", id=f"{who}: {what}")
    for what, method, path, *answers in ROW.findall(Path(ROOT / "docs" / "roles.md").read_text("utf-8"))
    for who, answer in zip(WHO, answers, strict=True)
]
REFUSED = {401, 403, 404}
"""404 where even that something exists is not told."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """A Hub of its own: what is sent here hands in, collects and grades."""
    with state_folder() as state, RunningHub(state, prefix=f"role{os.getpid() % 1000}-") as running:
        yield running


@pytest.fixture(scope="module")
def ask(hub: RunningHub) -> Callable[[str, str, str, bytes | None], requests.Response]:
    """Send a request as one of WHO."""
    sessions: dict[str, Session] = {}

    def send(who: str, method: str, path: str, body: bytes | None = None) -> requests.Response:
        if who == "nobody":
            return requests.request(method, hub.url + path, data=body, allow_redirects=False)
        if who not in sessions:
            sessions[who] = Session(hub, WHO.get(who, who))
            assert sessions[who].enter("/services/handin/").status_code == 200
        return sessions[who].ask(method, path, data=body)

    return send


@pytest.fixture(scope="module")
def package() -> bytes:
    """A hand-in."""
    buffer = io.BytesIO()
    write_package({f"{NOTEBOOK}.ipynb": b'{"cells": []}'}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def attempt(ask: Callable[..., requests.Response], package: bytes) -> int:
    """A hand-in of the other student."""
    answer = ask("student2", "POST", f"/services/handin/api/labs/{LAB}/attempts", package)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@pytest.mark.parametrize(("method", "path", "who", "allowed"), CELLS)
def test_one_cell_of_the_table(
    hub: RunningHub,
    ask: Callable[..., requests.Response],
    package: bytes,
    attempt: int,
    method: str,
    path: str,
    who: str,
    allowed: bool,
) -> None:
    words = {"LAB": LAB, "NOTEBOOK": NOTEBOOK, "STUDENT2": f"{hub.prefix}student2", "ATTEMPT2": str(attempt)}
    for word, value in words.items():
        path = path.replace(word, value)
    body = package if path.endswith("/attempts") else b"{}" if method in ("PUT", "POST") else None
    answer = ask(who, method, path, body)
    sent_to_log_in = answer.status_code == 302 and "/hub/" in answer.headers["Location"]
    if allowed:
        # `grade/none` exists for nobody, and a wrong body is told to those who may send one
        fine = answer.status_code < 400 or (answer.status_code in (400, 404, 409) and "/none" in path)
        assert fine and not sent_to_log_in, (answer.status_code, answer.text[:300])
    else:
        assert answer.status_code in REFUSED or sent_to_log_in, (answer.status_code, answer.text[:300])


def test_the_table_has_the_hand_in_services_addresses_and_what_assistants_change() -> None:
    lines = re.findall(r"^\|.*`[A-Z]+ /.*$", (ROOT / "docs" / "roles.md").read_text("utf-8"), re.MULTILINE)
    assert len(CELLS) == len(WHO) * len(lines), "a row of the table cannot be read"
    asked = {(param.values[0], param.values[1]) for param in CELLS}
    assert {param.values[2] for param in CELLS} == set(WHO)
    offered = [
        (method.upper(), "/services/handin" + re.sub(r"{\w+}", "[^/]+", path))
        for path, operations in description("/services/handin/")["paths"].items()
        for method in operations
        if method in ("get", "post", "put", "delete")
    ]
    offered += [
        (method, f"/services/course/formgrader{route}")
        for method in ("POST", "PUT")
        for route in ASSISTANT_ROUTES[method]
    ]
    missing = [
        (method, pattern)
        for method, pattern in offered
        if not any(method == known and re.fullmatch(pattern, path) for known, path in asked)
    ]
    assert missing == []
