"""Many workers: what is killed loses nothing, doubles nothing, and the same command continues."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import nbformat
import psutil
import pytest
from distributed import Security

from autograder.errors import ConfigurationError, EngineError
from autograder.grade import work
from autograder.grade.audit import audit
from autograder.grade.course_grade import Standing, grade_lab
from autograder.grade.engine import Engine
from autograder.grade.receipts import Receipts
from autograder.grade.sandbox import Sandbox
from autograder.grade.slot import FOLDER
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.work import Fault
from autograder.quality.handins import replace_solution
from tests.conftest import LIMITS, MiniLab

SLOWLY = (
    "import time\ndef scale_tensor(x, factor):\n    return torch.round(x * factor)\ntime.sleep(0.4)  # {}\n"
)
STUDENTS = [f"student{number}" for number in range(8)]


@pytest.fixture
def handed_in(fresh_mini: MiniLab) -> MiniLab:
    """Eight students with solutions of their own, each of which takes a while."""
    for student in STUDENTS:
        folder = fresh_mini.instance.submitted / student / fresh_mini.lab.id
        folder.mkdir(parents=True)
        solved = replace_solution(fresh_mini.reference(), "scale_tensor", SLOWLY.format(student))
        nbformat.write(solved, folder / "01-Scale.ipynb")
    return fresh_mini


def descendants(name: str, of: int | None = None) -> list[psutil.Process]:
    """Processes below one (this one by default) whose command line holds a text."""
    found = []
    for child in psutil.Process(of).children(recursive=True):
        try:
            if name in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def family(process: subprocess.Popen[Any]) -> list[psutil.Process]:
    """A process and everything below it, as far as it still is."""
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    return []


def require_whole(lab: MiniLab) -> None:
    """Every hand-in has full marks, and one receipt."""
    receipts = list(Receipts(lab.instance.receipts).read())
    assert sorted(item["student"] for item in receipts) == STUDENTS
    assert all(cell["points"] == cell["maximum"] for item in receipts for cell in item["cells"])
    assert audit(lab.instance).problems == []


def test_two_workers_grade_like_one_and_leave_nothing(handed_in: MiniLab) -> None:
    graded = grade_lab(handed_in.instance, handed_in.lab.id, engine=Engine(workers=2))
    assert [item.student for item in graded] == STUDENTS and {item.score for item in graded} == {90.0}
    require_whole(handed_in)
    assert descendants("spawn_main") == []


def test_a_killed_worker_loses_nothing(handed_in: MiniLab) -> None:
    killed: list[int] = []

    def kill_one(standing: Standing) -> None:
        if standing.judged >= 2 and len(killed) < 2:
            workers = [p for p in descendants("spawn_main") if p.pid not in killed]
            if workers:
                workers[0].kill()
                killed.append(workers[0].pid)

    grade_lab(handed_in.instance, handed_in.lab.id, engine=Engine(workers=2), watch=kill_one)
    assert len(killed) == 2
    require_whole(handed_in)


@contextlib.contextmanager
def grading(lab: MiniLab) -> Iterator[subprocess.Popen[str]]:
    """`course grade` on two workers in a process of its own, with its first verdicts in the cache; killed after."""
    command = [sys.executable, "-m", "autograder", "grade", lab.lab.id, "--instance", str(lab.instance.root)]
    process = subprocess.Popen(
        [*command, "--workers", "2", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            wait_for(lambda: len(list(lab.instance.cache.rglob("*.json"))) >= 2 or process.poll() is not None)
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_command_leaves_no_process_and_the_same_command_continues(
    handed_in: MiniLab, how: signal.Signals
) -> None:
    with grading(handed_in) as process:
        below = family(process)[1:]
        assert process.poll() is None and len(below) > 4
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    if how is signal.SIGINT:
        assert process.returncode == 130 and errors.strip().endswith("stopped")
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == []
    judged: list[int] = []
    grade_lab(
        handed_in.instance,
        handed_in.lab.id,
        engine=Engine(workers=2),
        watch=lambda standing: judged.append(standing.judged),
    )
    assert judged[-1] < len(STUDENTS)  # what the stopped command had judged was not judged again
    require_whole(handed_in)


def test_a_scheduler_that_is_not_there_is_named(certificates: dict[str, str]) -> None:
    with (
        dask.config.set(certificates),
        pytest.raises(EngineError, match=r"tls://127\.0\.0\.1:9 cannot be reached"),
    ):
        list(Engine(scheduler="tls://127.0.0.1:9", patience=2).run([("key", {"files": {}})], Sandbox()))


def test_missing_certificates_are_named() -> None:
    with pytest.raises(ConfigurationError, match="no certificates are configured"):
        list(Engine(scheduler="tls://127.0.0.1:9", patience=2).run([("key", {"files": {}})], Sandbox()))


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Dask's settings for certificates of this test's own, as files."""
    security = Security.temporary()
    files = {
        "ca.pem": security.tls_ca_file,
        "cert.pem": security.tls_client_cert,
        "key.pem": security.tls_client_key,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return {
        "distributed.comm.tls.ca-file": str(tmp_path / "ca.pem"),
        "distributed.comm.tls.client.cert": str(tmp_path / "cert.pem"),
        "distributed.comm.tls.client.key": str(tmp_path / "key.pem"),
    }


@contextlib.contextmanager
def cluster(certificates: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler and a worker, each a process of its own, as `dask` starts them; the scheduler's process."""
    ca, cert, key = certificates.values()
    files = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
    address = f"tls://127.0.0.1:{port}"
    dask_command = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [
            *dask_command,
            "scheduler",
            "--protocol",
            "tls",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-dashboard",
            *files,
        ],
        stderr=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [
            *dask_command,
            "worker",
            address,
            "--nthreads",
            "1",
            "--no-dashboard",
            "--death-timeout",
            "30",
            *files,
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield scheduler
    finally:
        for process in (worker, scheduler):
            started = family(process)
            process.terminate()
            process.wait(30)
            psutil.wait_procs(started, timeout=30)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(600)
def test_a_killed_scheduler_loses_nothing_and_the_same_command_continues(
    handed_in: MiniLab, certificates: dict[str, str]
) -> None:
    port = free_port()
    engine = Engine(scheduler=f"tls://127.0.0.1:{port}")
    with dask.config.set(certificates):
        with cluster(certificates, port) as scheduler:

            def kill_it(standing: Standing) -> None:
                if standing.judged >= 2:
                    scheduler.kill()

            with pytest.raises(EngineError, match="run the same command again"):
                grade_lab(handed_in.instance, handed_in.lab.id, engine=engine, watch=kill_it)
        assert len(list(handed_in.instance.cache.rglob("*.json"))) >= 2
        with cluster(certificates, port):
            grade_lab(handed_in.instance, handed_in.lab.id, engine=engine)
    require_whole(handed_in)


def test_a_scheduler_without_encryption_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="only tls:// is accepted"):
        list(Engine(scheduler="tcp://127.0.0.1:8786").run([("key", {"files": {}})], Sandbox()))


def test_a_worker_with_another_version_of_the_course_refuses(
    mini: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = work.pack({"files": {}, "limits": {}}, Sandbox(LIMITS))
    monkeypatch.setattr(work, "environment", lambda: {"python": "3.11.7", "labkit": "other"})
    fault = work.unpack(work.work(payload))
    assert isinstance(fault, Fault) and fault.machine and "labkit differ" in fault.text


def stuck(payload: bytes) -> bytes:
    """A worker's work that kills the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_a_job_that_kills_every_worker_is_given_up_and_the_others_go_on() -> None:
    results = dict(Engine(workers=2).run([("bad", {"files": {}})], Sandbox(), do=stuck))
    assert isinstance(results["bad"], Fault) and "worker died" in results["bad"].text


def slow(payload: bytes) -> bytes:
    """A worker's work that takes a while and gives an empty verdict."""
    time.sleep(0.3)
    return json.dumps({"verdict": NotebookVerdict("n").to_json()}).encode()


def test_a_result_that_died_with_its_worker_is_made_again() -> None:
    jobs = [(f"job{number}", {"files": {}}) for number in range(10)]
    arrived = []
    for key, result in Engine(workers=2).run(jobs, Sandbox(), do=slow):
        assert isinstance(result, NotebookVerdict)
        arrived.append(key)
        if len(arrived) == 1:
            time.sleep(3)  # results wait on their workers meanwhile
            descendants("spawn_main")[0].kill()
    assert sorted(arrived) == sorted(key for key, _ in jobs)


def test_an_engine_that_is_kept_uses_its_workers_again() -> None:
    with Engine(workers=2) as engine:
        for _ in range(2):
            assert (
                len(list(engine.run([("a", {"files": {}}), ("b", {"files": {}})], Sandbox(), do=slow))) == 2
            )
            workers = {process.pid for process in descendants("spawn_main")}
            assert workers
        assert workers == {process.pid for process in descendants("spawn_main")}
    assert descendants("spawn_main") == []


def test_two_commands_at_once_write_every_grade_whole(handed_in: MiniLab) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        command = [sys.executable, "-m", "autograder", "grade", handed_in.lab.id, "--json", "--workers", "1"]
        done = subprocess.run(
            [*command, "--instance", str(handed_in.instance.root)], capture_output=True, text=True
        )
        if done.returncode != 0 or {item["score"] for item in json.loads(done.stdout)} != {90.0}:
            errors.append(AssertionError(done.stderr))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and audit(handed_in.instance).problems == []


def test_no_folder_stays_not_even_of_a_killed_command(handed_in: MiniLab) -> None:
    with grading(handed_in) as process:
        left = f"{FOLDER}-{process.pid}-*"
        assert list(Path(tempfile.gettempdir()).glob(left))
    grade_lab(handed_in.instance, handed_in.lab.id, engine=Engine(workers=2))
    assert list(Path(tempfile.gettempdir()).glob(left)) == []
    assert list(Path(tempfile.gettempdir()).glob(f"{FOLDER}-{os.getpid()}-*/dask-scratch-space")) == []
