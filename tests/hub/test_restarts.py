"""Is nothing lost when the proxy, the hand-in service or the Hub is killed in the middle of a class?

One Hub for all tests of this file; they run in the order in which they stand, because the last ones end it.
`tests/hub/server/test_restarts.py` asks the same of the server's deployment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from handin.client import Client
from handin.errors import Refused, Unreachable

from hub_config.load import COURSE, LAB, collector_of
from hub_config.person import Person
from hub_config.running import RunningHub, state_folder
from tests.hub.conftest import needs_root
from tests.hub.requests_as import Session

# two minutes with a Hub of its own; a shorter look at proxy and service every day is in test_handin.py
pytestmark = [pytest.mark.nightly, needs_root, pytest.mark.timeout(900)]

PREFIX = f"back{os.getpid() % 1000}-"
"""Not the same for two runs at once: accounts belong to the whole machine."""
PROXY, HUB = "configurable-http-proxy", "jupyterhub --config"
SERVICE, COURSE_SERVICE = "handin.service", "autograder.service"
Condition = Callable[[], object]


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """What stays when the Hub of this file has ended."""
    with state_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def own(state: Path) -> Iterator[RunningHub]:
    """A Hub that may be killed."""
    with RunningHub(state, prefix=PREFIX) as running:
        yield running


@pytest.fixture(scope="module")
def ada(own: RunningHub) -> Person:
    """A student with a server and the lab."""
    student = Person(own, "student1")
    student.start_server(120)
    assert act(student, "fetch")["success"]
    return student


def act(student: Person, action: str) -> dict[str, Any]:
    """What a button of the Assignment List asks of the student's server."""
    body = {"course_id": COURSE, "assignment_id": LAB}
    answer = student.ask("POST", f"{student.server}/assignments/{action}", json=body)
    answer.raise_for_status()
    return answer.json()  # type: ignore[no-any-return]


def server_of(student: Person) -> psutil.Process:
    """The process of a student's server."""
    return student.hub.process_of("jupyterhub-singleuser", student.name)


def token_of(student: Person) -> str:
    """What the student's server is known by."""
    return server_of(student).environ()["JUPYTERHUB_API_TOKEN"]


def in_terminal(student: Person, *command: str) -> str:
    """Run a command as in a terminal of the student's server; return what it printed."""
    server = server_of(student)
    numbers = {"user": server.uids().real, "group": server.gids().real, "extra_groups": []}
    environment = {**server.environ(), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=server.cwd(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **numbers
    )  # fmt: skip
    return re.sub(r"\s+", " ", done.stdout.decode())


def wait_until(what: str, condition: Condition, seconds: float = 90) -> None:
    """Until it is so; being away counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (requests.RequestException, LookupError, psutil.Error):
            pass
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def packages(hub: RunningHub) -> set[str]:
    """Files of hand-ins, finished or not."""
    return {path.name for path in (hub.state / "handin" / "packages").rglob("*") if path.is_file()}


def attempts(student: Person) -> list[dict[str, Any]]:
    """All attempts of a student, as the course knows them."""
    return of(student.hub, student.name)


def receipts(student: Person) -> list[dict[str, Any]]:
    """The receipts in a student's home, by number."""
    files = (student.hub.home(student.name) / ".handin-receipts").glob("*.json")
    found = [json.loads(file.read_text("utf-8")) for file in files]
    return sorted(found, key=lambda one: int(one["number"]))


def half_an_upload(student: Person) -> socket.socket:
    """Through the proxy, a hand-in of which the second half is never sent."""
    hub = student.hub
    before = packages(hub)
    connection = socket.create_connection(("127.0.0.1", hub.port), timeout=60)
    head = (
        f"POST /services/handin/api/labs/{LAB}/attempts HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n"
        f"Authorization: token {token_of(student)}\r\nContent-Length: 400000\r\n\r\n"
    )
    connection.sendall(head.encode() + os.urandom(200_000))
    wait_until("the upload reaches the service", lambda: packages(hub) - before)
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Whether the other end went away without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def works(student: Person) -> bool:
    """Whether the student's server answers under the login that the browser has."""
    return student.ask("GET", f"{student.server}/api/status").status_code == 200


def test_a_killed_proxy_comes_back_under_a_class_at_work(own: RunningHub, ada: Person) -> None:
    """Servers, kernels and logins stay; half an upload leaves nothing; nbgrader's own way needs no proxy."""
    kernel = ada.ask("POST", f"{ada.server}/api/kernels", json={"name": "python3"}).json()["id"]
    server, proxy = server_of(ada), own.process_of(PROXY)
    before, running = packages(own), {process.pid for process in server.children()}
    number = len(attempts(ada))
    assert running, "the kernel is a process of its own"
    upload = half_an_upload(ada)
    proxy.suspend()  # held, so that it is away for as long as this needs; the Hub sees one that runs
    said = in_terminal(ada, "nbgrader", "submit", LAB)
    assert f"Submitted as: {COURSE} {LAB}, attempt {number + 1}, received" in said, said
    proxy.kill()
    assert is_cut(upload)
    upload.close()
    wait_until("the Hub starts a new proxy", lambda: own.process_of(PROXY).pid != proxy.pid)
    wait_until("the student's page answers", lambda: works(ada))
    assert server_of(ada) == server and {process.pid for process in server.children()} == running
    assert [one["id"] for one in ada.ask("GET", f"{ada.server}/api/kernels").json()] == [kernel]
    home = ada.enter("/hub/home")
    assert home.status_code == 200 and home.url.endswith("/hub/home"), "the login was lost"
    page = ada.enter(f"/services/handin/labs/{LAB}")
    assert page.status_code == 200 and receipts(ada)[-1]["sha256"][:12] in page.text
    wait_until("half an upload is gone", lambda: len(packages(own)) == len(before) + 1)
    answer = act(ada, "submit")
    assert answer["success"], answer
    assert attempts(ada)[-1]["number"] == number + 2 and receipts(ada) == attempts(ada)


def test_hand_ins_while_the_proxy_is_killed_are_whole_or_not_there(own: RunningHub) -> None:
    """Every receipt has its attempt, every attempt its content; who got an error reads what to do."""
    student = Person(own, "student2")
    student.start_server(120)
    client = Client(f"{own.url}/services/handin", token_of(student))
    sent: list[bytes] = []
    got: list[dict[str, Any]] = []
    said: list[str] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set() and len(got) < 25:  # the service takes thirty in ten minutes
            sent.append(os.urandom(1 << 20).hex().encode())
            try:
                got.append(client.hand_in(LAB, {"02-Static_Quantization.ipynb": sent[-1]}))
            except (Unreachable, Refused) as error:
                said.append(str(error))
                sent.pop()
            stop.wait(0.3)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(2):
            count = len(got)
            wait_until("a hand-in gets its receipt", lambda count=count: len(got) > count)  # type: ignore[misc]
            proxy = own.process_of(PROXY)
            proxy.kill()
            wait_until("a new proxy", lambda proxy=proxy: own.process_of(PROXY).pid != proxy.pid)  # type: ignore[misc]
        count = len(got)
        wait_until("a hand-in gets its receipt", lambda: len(got) > count)
    finally:
        stop.set()
        thread.join()
    known = {one["id"]: one for one in attempts(student)}
    assert [one["number"] for one in known.values()] == list(range(1, len(known) + 1))
    assert all(known[receipt["id"]] == receipt for receipt in got)
    collector = collector_of(own)
    contents = [collector.attempt(number)["02-Static_Quantization.ipynb"] for number in known]
    assert len(set(contents)) == len(contents) and set(sent) <= set(contents)
    # an answer that was lost on its way is an attempt all the same: the page shows it
    assert len(known) - len(got) <= 2
    assert any("Your files are where they were; try again in a minute" in text for text in said), said


def test_a_killed_service_is_told_to_the_student_and_forgets_nothing(own: RunningHub, ada: Person) -> None:
    """The Hub starts it again within half a minute; until then terminal, button and page say what to do."""
    before = attempts(ada)
    service = own.process_of(SERVICE)
    service.kill()
    page = ada.http.get(f"{own.url}/services/handin/labs/{LAB}", allow_redirects=False)
    assert page.status_code == 503
    text = re.sub(r"\s+", " ", page.text)
    assert "This part of the course does not answer. It may be starting again: try again in a minute." in text
    assert (
        "What you saved and what has a receipt is kept" in text and "your server appears" not in text.lower()
    )
    hub = own.process_of(HUB)
    hub.suspend()  # it looks after its services every half a minute, which may be now
    try:
        with contextlib.suppress(LookupError):
            own.process_of(SERVICE).kill()
        said = in_terminal(ada, "nbgrader", "submit", LAB)
    finally:
        hub.resume()
    assert "does not answer" in said and "Your files are where they were; try again in a minute" in said, said
    assert works(ada), "a student's own server needs no hand-in service"
    wait_until("the Hub starts it again", lambda: own.process_of(SERVICE).pid != service.pid)
    wait_until("it answers", lambda: ada.enter(f"/services/handin/labs/{LAB}").ok)
    assert attempts(ada) == before and act(ada, "submit")["success"]
    assert attempts(ada) == receipts(ada) == [*before, receipts(ada)[-1]]


def test_a_killed_hub_ends_everything_and_the_next_start_has_it_all(
    own: RunningHub, ada: Person, state: Path
) -> None:
    """`make hub` does not go on without its Hub: it says so, leaves no process, and keeps every file."""
    (own.home("student1") / "half.py").write_text("x = 41")
    before, kept = attempts(ada), receipts(ada)
    staff = Session(own, "ta1")
    queued = staff.send("POST", f"/formgrader/api/assignment/{LAB}/collect").json()
    assert queued["success"], queued
    upload = half_an_upload(ada)
    parts = [own.process_of(word) for word in (PROXY, SERVICE, COURSE_SERVICE)] + [server_of(ada)]
    own.process_of(HUB).kill()
    own.process.wait(60)
    assert is_cut(upload)
    upload.close()
    assert own.process.returncode == 1
    said = own.output.strip().splitlines()[-1]
    assert said.startswith("error: the Hub ended by itself, so every server was ended too.")
    assert (
        "Homes, hand-ins and the queue are kept: start it again" in said
        and str(state / "hub" / "log") in said
    )
    assert not [part for part in parts if part.is_running()]
    with RunningHub(state, prefix=PREFIX, port=own.port) as again:
        assert "an earlier run was not stopped properly" not in again.output
        assert (again.home("student1") / "half.py").read_text() == "x = 41"
        student = Person(again, "student1")
        student.start_server(120)
        assert attempts(student) == before and receipts(student) == kept
        named = {f"{one['sha256']}.zip" for name in ("student1", "student2") for one in of(again, name)}
        assert packages(again) == named, "half an upload left something, or a hand-in is gone"
        assert act(student, "submit")["success"]
        assert [one["number"] for one in attempts(student)] == [one["number"] for one in receipts(student)]
        again_staff = Session(again, "ta1")
        wait_until("the queue is worked off", lambda: ended(again_staff, f"collect {LAB}"), 180)


def of(hub: RunningHub, name: str) -> list[dict[str, Any]]:
    """All attempts of an account."""
    return collector_of(hub).student(f"{hub.prefix}{name}")


def ended(staff: Session, title: str) -> bool:
    """Whether a job of the queue was done, or says why not: it may have asked while there was no Hub."""
    jobs = staff.send("GET", "/formgrader/api/queue").json()["jobs"]
    (job,) = (job for job in jobs if job["title"] == title)
    assert job["state"] != "failed" or "Try again" in job["text"] or "try again" in job["text"], job
    return job["state"] in ("done", "failed")
