"""The minute before a deadline: many students at once log in, start a server, fetch, hand in and read feedback.

    python -m hub_config.load --students 30 --json

`course bench hub` runs it. Everything is real: the Hub, the proxy, a JupyterLab server for each student under
an account of their own, nbgrader's Assignment List in it, the hand-in service. Only the browser is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import click
import psutil
from handin.client import Client
from rich.console import Console
from rich.table import Table

from hub_config.errors import HubError
from hub_config.person import Person
from hub_config.running import RunningHub, state_folder

LAB = "Lab-3.1-Post_Training_Quantization"
COURSE = "model-compression"
HAND_INS = 2
"""Attempts of each student, one after the other."""
LISTS = 50
"""How often one list is timed alone."""
SERVER_SECONDS = 600
"""How long a student's server may take when all start at once."""


@dataclass
class Load:
    """Seconds of each step over all students, and what was found at the end. Memory in MiB."""

    students: int
    seconds: dict[str, dict[str, float]]
    """Median, 95th percentile and maximum of each step."""
    memory_mb: float
    """Of one student's server and notebook kernel-less Lab, shared pages divided: the mean."""
    handed_in: int
    """Receipts that students got."""
    lost: int
    """Receipts without an attempt in the service."""
    doubled: int
    """Attempts in the service without a receipt, or with the same number."""
    failed: dict[str, int] = field(default_factory=dict)
    """Steps that did not end well, by what was said."""
    wall_seconds: float = 0.0
    """From the first login to the last feedback read."""
    service_cpu_ms: float = 0.0
    """CPU of the hand-in service for each hand-in, in milliseconds."""


class Watch:
    """Times steps and counts failures, from many threads."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.failed: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; a failure is counted and ends the student's minute."""
        started = time.monotonic()
        try:
            yield
        except Exception as error:  # whatever it was, the others go on, and it is shown at the end
            with self._lock:
                self.failed[f"{name}: {type(error).__name__}: {error}"[:200]] += 1
            raise
        with self._lock:
            self.times[name].append(time.monotonic() - started)

    def summary(self) -> dict[str, dict[str, float]]:
        """Median, 95th percentile and maximum of each step, in the order they were first done."""
        return {
            name: {
                "median": round(statistics.median(times), 3),
                "p95": round(sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)], 3),
                "max": round(max(times), 3),
            }
            for name, times in self.times.items()
        }


def minute(hub: RunningHub, name: str, watch: Watch, pages: Callable[[str], None]) -> None:
    """What one student does; `pages` gives feedback back between handing in and reading."""
    with watch.step("log in"):
        student = Person(hub, name)
    with watch.step("start a server"):
        student.start_server(SERVER_SECONDS)
    with watch.step("list labs"):
        _ask(student, "GET", f"assignments?course_id={COURSE}")
    with watch.step("fetch the lab"):
        _act(student, "fetch")
    for _ in range(HAND_INS):
        with watch.step("hand in"):
            _act(student, "submit")
    with watch.step("see one's attempts on the page"):
        answer = student.enter(f"/services/handin/labs/{LAB}")
        if answer.status_code != 200 or "Receipt" not in answer.text:
            raise RuntimeError(f"the page answered {answer.status_code}")
    pages(name)
    with watch.step("read feedback"):
        _act(student, "fetch_feedback")


def _act(student: Person, action: str) -> None:
    answer = _ask(student, "POST", f"assignments/{action}", json={"course_id": COURSE, "assignment_id": LAB})
    if answer.get("success") is not True:
        raise RuntimeError(str(answer.get("value"))[-150:])


def _ask(student: Person, method: str, path: str, **options: Any) -> dict[str, Any]:
    answer = student.ask(method, f"{student.server}/{path}", **options)
    answer.raise_for_status()
    return answer.json()  # type: ignore[no-any-return]


def measure_load(students: int, say: Callable[[str], None]) -> Load:
    """Start a Hub with so many students and let all of them have their minute at once. Raises HubError."""
    if os.geteuid() != 0:
        raise HubError("the load test makes an account for each student, so it needs root")
    prefix = f"load{os.getpid() % 1000}-"
    watch = Watch()
    with state_folder() as state:
        say(f"starting a Hub with {students} students")
        with RunningHub(state, "--students", str(students), prefix=prefix) as hub:
            collector = collector_of(hub)
            names = [f"student{number + 1}" for number in range(students)]

            def give_feedback(name: str) -> None:
                for attempt in collector.student(prefix + name):
                    for notebook in (file for file in attempt["files"] if file.endswith(".ipynb")):
                        name_of = notebook.removesuffix(".ipynb")
                        collector.put_feedback(attempt["id"], attempt["student"], name_of, b"<p>read me</p>")

            def work(name: str) -> None:
                with contextlib.suppress(Exception):  # counted in `watch`, with what was said
                    minute(hub, name, watch, give_feedback)

            say("the minute before the deadline")
            service = hub.process_of("handin.service")
            before = _cpu(service)
            started = time.monotonic()
            with ThreadPoolExecutor(students) as pool:
                list(pool.map(work, names))
            wall = time.monotonic() - started
            cpu = _cpu(service) - before
            say("listing, when nobody else asks")
            _list_alone(hub, names[0], watch)
            say("counting")
            attempts = [one for name in names for one in collector.student(prefix + name)]
            receipts = [receipt for name in names for receipt in _receipts(hub, name)]
            memory = _memory(hub)
    known = {(one["student"], one["number"]) for one in attempts}
    got = {(one["student"], one["number"]) for one in receipts}
    return Load(
        students,
        watch.summary(),
        round(memory / students, 1),
        len(receipts),
        len(got - known),
        len(attempts) - len(known) + len(known - got),
        dict(watch.failed),
        round(wall, 1),
        round(1000 * cpu / max(1, len(attempts)), 1),
    )


def _list_alone(hub: RunningHub, name: str, watch: Watch) -> None:
    """What one list costs by itself, with the Hub's login and through the proxy."""
    reader = Person(hub, name)
    reader.enter("/services/handin/")
    for _ in range(LISTS):
        with watch.step("list one's attempts, when nobody else asks"):
            reader.ask("GET", "/services/handin/api/overview").raise_for_status()


def collector_of(hub: RunningHub) -> Client:
    """The hand-in service, asked as the course."""
    known = json.loads((hub.instance / "handin.json").read_text("utf-8"))
    return Client(known["url"], known["token"])


def _receipts(hub: RunningHub, name: str) -> list[dict[str, Any]]:
    folder = hub.home(name) / ".handin-receipts"
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _memory(hub: RunningHub) -> float:
    """MiB of all students' servers, each shared page divided by those who share it."""
    total = 0.0
    for process in psutil.Process(hub.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.username().startswith(f"{hub.prefix}student"):
                total += process.memory_full_info().pss / 2**20
    return total


@click.command()
@click.option("--students", type=click.IntRange(1, 500), default=30, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(students: int, as_json: bool) -> None:
    """Measure the minute before a deadline on this machine."""
    errors = Console(stderr=True, highlight=False)
    try:
        load = measure_load(students, lambda text: errors.print(text, markup=False))
    except HubError as error:
        errors.print(f"error: {error}", markup=False)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(asdict(load)))
        return
    table = Table("step", "median", "95 %", "longest", title=f"{students} students at once, seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in load.seconds.items():
        table.add_row(name, *(f"{one[key]:.2f}" for key in ("median", "p95", "max")))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{load.handed_in} hand-ins got a receipt, {load.lost} were lost, {load.doubled} doubled; "
        f"all over after {load.wall_seconds:g} s"
    )
    console.print(
        f"a student's server takes {load.memory_mb:g} MiB; the service {load.service_cpu_ms:g} ms of CPU a hand-in"
    )
    for what, count in load.failed.items():
        console.print(f"{count} times: {what}", markup=False)


if __name__ == "__main__":
    main()
