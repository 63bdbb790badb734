"""Is nothing lost on the server when Hub or proxy is killed, and what do people read meanwhile?

Everything is real but systemd: what it does when a unit's process is killed, the machine does in its place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("systemdspawner", reason="pip install -r requirements/server.lock into .venv-staff")

from handin.client import Client
from handin.errors import Unreachable

from autograder.course import outbound
from hub_config.server.configuration import ROUTES_SECONDS
from tests.hub.server import front
from tests.hub.server.machine import PASSWORDS, Machine
from tests.hub.server.visitor import HUB, Visitor

# a whole machine, as in test_machine.py
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
LAB = "Lab-3.1"
COURSE = "https://course--service.course.test/services/course/formgrader"
AWAY = "This part of the course does not answer"
KEPT = "What you saved and what has a receipt is kept."


@pytest.fixture(scope="module")
def served(machine: Machine) -> Iterator[Machine]:
    """An installed machine at work, with a lab that can be handed in."""
    machine.server_command("install")
    machine.run("chpasswd", text="".join(f"{name}:{word}\n" for name, word in PASSWORDS.items()))
    folder = outbound(Path(machine.settings.course.exchange)) / LAB
    folder.mkdir(parents=True)
    (folder / "01-Scale.ipynb").write_text("{}")
    machine.start_proxy()
    machine.start_hub()
    with front.running(machine.settings, machine.folder / "nginx", machine.http, machine.https):
        yield machine


@pytest.fixture(scope="module")
def ada(served: Machine) -> Visitor:
    """A student, logged in, with her server running."""
    visitor = Visitor(served.folder, served.https)
    visitor.log_in("ada", PASSWORDS["ada"])
    visitor.start_server("ada")
    return visitor


@pytest.fixture(scope="module")
def ines(served: Machine) -> Visitor:
    """An instructor who has entered the course service."""
    visitor = Visitor(served.folder, served.https)
    visitor.log_in("ines", PASSWORDS["ines"])
    visitor.get(f"{COURSE}/api/queue")
    return visitor


def server_of_ada(served: Machine) -> psutil.Process:
    """The process of her server."""
    return psutil.Process(int((served.folder / "units" / "jupyter-ada-singleuser.pid").read_text()))


def handing_in(served: Machine) -> Client:
    """The service, asked as her server does."""
    environment = server_of_ada(served).environ()
    return Client(environment["HANDIN_URL"], environment["JUPYTERHUB_API_TOKEN"])


def services(served: Machine) -> list[str]:
    """The modules of the services that run on this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            line, folder = process.cmdline(), process.cwd()
        except psutil.Error:
            continue
        if folder.startswith(str(served.folder)) and line[1:2] == ["-m"] and line[2] != "jupyterhub":
            found.append(line[2])
    return sorted(found)


def queue(ines: Visitor) -> list[dict[str, Any]]:
    """The staff's queue, newest first."""
    jobs: list[dict[str, Any]] = ines.get(f"{COURSE}/api/queue").json()["jobs"]
    return jobs


def press_collect(ines: Visitor) -> None:
    """The button of formgrader."""
    host = "course--service.course.test"
    tokens = [one.value for one in ines.cookies if (one.domain, one.name) == (host, "_xsrf")]
    headers = {"X-XSRFToken": tokens[0] or "", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    assert ines.post(f"{COURSE}/api/assignment/{LAB}/collect", headers=headers).json()["success"]


def wait_until(what: str, condition: Callable[[], object], seconds: float = 120) -> float:
    """Until it is so; return the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - started


def test_a_killed_hub_finds_servers_hand_ins_and_queue_again(
    served: Machine, ada: Visitor, ines: Visitor
) -> None:
    client = handing_in(served)
    receipt = client.hand_in(LAB, {"01-Scale.ipynb": b"before"})
    before, running = server_of_ada(served), services(served)
    assert running == ["autograder.service", "handin.service", "jupyterhub_idle_culler"]
    press_collect(ines)
    titles = [job["title"] for job in queue(ines)]
    assert f"collect {LAB}" in titles
    served.kill("course-hub.service")
    assert services(served) == []
    assert ada.status("ada").status_code == 200, "her server does not need the Hub"
    page = ada.get(f"{HUB}/hub/home")
    assert page.status_code == 503 and AWAY in page.text and KEPT in " ".join(page.text.split())
    with pytest.raises(Unreachable, match="Your files are where they were; try again in a minute"):
        client.hand_in(LAB, {"01-Scale.ipynb": b"meanwhile"})
    served.server_command("drop-unlisted")
    served.start_hub()
    assert server_of_ada(served) == before and before.is_running()
    wait_until("every service runs, once", lambda: services(served) == running)
    assert ada.status("ada").status_code == 200
    assert ada.get(f"{HUB}/hub/home").url == f"{HUB}/hub/home", "the login was lost"
    front.wait_for(served.settings.ports.handin, served.processes["course-hub.service"])
    assert client.overview()["attempts"] == [receipt]
    assert client.hand_in(LAB, {"01-Scale.ipynb": b"after"})["number"] == 2
    assert {job["title"] for job in queue(ines)} >= set(titles)
    ended = {
        "done",
        "failed",
    }  # this machine has no lab to collect; that the job is taken up again is what counts
    wait_until("the queue is worked off", lambda: {job["state"] for job in queue(ines)} <= ended)
    known = json.loads((Path(served.settings.course.instance) / "handin.json").read_text())
    assert [one["number"] for one in Client(known["url"], known["token"]).student("ada")] == [1, 2]


def test_a_killed_proxy_gets_its_routes_back_from_the_hub(served: Machine, ada: Visitor) -> None:
    """systemd starts it again, without any route; the Hub was not restarted, so it has to notice by itself."""
    before, hub = server_of_ada(served), served.processes["course-hub.service"].pid
    served.kill("course-proxy.service")
    page = ada.get(f"{HUB}/hub/home")
    assert page.status_code == 502 and AWAY in page.text and KEPT in " ".join(page.text.split())
    number = len(handing_in(served).overview()["attempts"])
    receipt = handing_in(served).hand_in(LAB, {"01-Scale.ipynb": b"without a proxy"})
    assert receipt["number"] == number + 1
    served.start_proxy()
    seconds = wait_until("her page answers", lambda: ada.status("ada").status_code == 200)
    assert seconds < ROUTES_SECONDS + 15
    assert ada.get(f"{HUB}/hub/home").url == f"{HUB}/hub/home", "the login was lost"
    assert server_of_ada(served) == before and before.is_running()
    assert (
        served.processes["course-hub.service"].pid == hub
        and served.processes["course-hub.service"].poll() is None
    )
