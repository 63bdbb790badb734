"""The queue: order, double clicks, failures, a restart in the middle, nothing of the Hub in a job's environment."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import psutil
import pytest

from autograder.errors import ConfigurationError
from autograder.service.jobs import FORGOTTEN, State, forget_output, read_jobs
from autograder.service.queue import KEPT, MOST_WAITING, JobQueue, QueueFull


def python(arguments: list[str]) -> list[str]:
    """A command line that runs its first argument as Python."""
    return [sys.executable, "-c", arguments[0]]


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a coroutine and give it 30 seconds."""
    asyncio.run(asyncio.wait_for(work(), 30))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    while not condition():
        await asyncio.sleep(0.02)


def test_jobs_run_one_after_another_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    say = "import sys, time; f = open({log!r}, 'a'); f.write('<{n}'); f.flush(); time.sleep(0.1); f.write('{n}>')"

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        jobs = [queue.add(str(n), [say.format(log=str(log), n=n)], "ta1") for n in range(3)]
        assert [queue.before(job) for job in jobs] == [0, 1, 2]
        queue.start()
        await until(lambda: not any(job.open for job in queue.jobs))
        assert [job.state for job in queue.jobs] == [State.DONE] * 3
        await queue.stop()

    run(work)
    assert log.read_text() == "<00><11><22>"


def test_a_second_click_adds_nothing_and_a_failure_keeps_its_words(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("x", ["raise SystemExit('the gradebook is locked')"], "ta1")
        assert queue.add("x", ["raise SystemExit('the gradebook is locked')"], "ta2") is job
        queue.start()
        await until(lambda: not job.open)
        assert (job.state, job.text) == (State.FAILED, "the gradebook is locked")
        assert queue.add("x", list(job.command), "ta1") is not job
        await queue.stop()

    run(work)
    assert [entry["who"] for entry in json.loads((tmp_path / "queue.json").read_text())] == ["ta1", "ta1"]


def test_a_job_that_cannot_be_started_stops_none_behind_it(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        bad = [queue.add("null", ["print(1)\0"], "ta1"), queue.add("long", ["#" * 300_000], "ta1")]
        good = queue.add("good", ["print('good')"], "ta1")
        queue.start()
        await until(lambda: not good.open)
        assert [job.state for job in bad] == [State.FAILED] * 2
        assert all(job.text.startswith("could not be started") for job in bad)
        assert good.text == "good"
        await queue.stop()

    run(work)


def test_the_queue_has_an_end(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        for number in range(MOST_WAITING):
            queue.add("x", [str(number)], "ta1")
        with pytest.raises(QueueFull):
            queue.add("x", ["one more"], "ta1")

    run(work)


def test_a_restart_runs_what_was_running_again(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)  # a kernel that another test keeps warm

    async def first() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("long", ["import time; print('began', flush=True); time.sleep(60)"], "ta1")
        queue.add("next", ["print('next')"], "ta1")
        queue.start()
        await until(lambda: job.state is State.RUNNING)
        await queue.stop()
        assert set(psutil.Process().children(recursive=True)) <= set(before)

    async def second() -> None:
        queue = JobQueue(tmp_path / "queue.json", lambda arguments: [sys.executable, "-c", "print('again')"])
        assert [job.state for job in queue.jobs] == [State.WAITING] * 2
        queue.start()
        await until(lambda: not any(job.open for job in queue.jobs))
        assert [job.text for job in queue.jobs] == ["again", "again"]
        await queue.stop()

    run(first)
    run(second)


def test_a_job_knows_no_token_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "a secret")

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("x", ["import os; print(sorted(os.environ))"], "ta1")
        queue.start()
        await until(lambda: not job.open)
        assert "JUPYTERHUB" not in job.text and "PATH" in job.text
        await queue.stop()

    run(work)


def test_only_so_many_ended_jobs_are_kept(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", lambda arguments: ["true"])
        for n in range(KEPT + 5):
            job = queue.add(str(n), [str(n)], "ta1")
            job.state, job.ended = State.DONE, "now"
        waiting = queue.add("last", ["last"], "ta1")
        assert len(queue.jobs) == KEPT + 1 and queue.jobs[-1] is waiting
        assert waiting.number == KEPT + 6

    run(work)


def test_a_running_job_shows_what_it_says_and_how_far_it_is(tmp_path: Path) -> None:
    """A real progress bar of the commands, in a process that waits to be looked at."""
    go = tmp_path / "go"
    code = (
        "import pathlib, time; from autograder.commands.screen import progress\n"
        "print('two to do', flush=True)\n"
        "with progress() as bar:\n"
        "    task = bar.add_task('work', total=None); bar.update(task, total=2, completed=1)\n"
        f"    while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n"
        "print('both done')"
    )

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("x", [code], "ta1")
        assert queue.view()[0]["progress"] is None
        queue.start()
        await until(lambda: queue.view()[0]["progress"] == [1, 2] and job.text == "two to do\n")
        go.touch()
        await until(lambda: not job.open)
        assert job.text.split("\n")[::2] == ["two to do", "both done"] and queue.view()[0]["progress"] is None
        again = queue.add("y", ["import time; time.sleep(0.3)"], "ta1")
        await until(lambda: again.state is State.RUNNING)
        assert queue.view()[0]["progress"] is None, "the job before it is not this one"
        await until(lambda: not again.open)
        await queue.stop()

    run(work)


def test_a_job_knows_for_whom_it_runs(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("x", ["from autograder.actions import operator; print(operator())"], "ta1")
        queue.start()
        await until(lambda: not job.open)
        assert job.text == "ta1"
        await queue.stop()

    run(work)


def test_a_command_that_is_ended_from_outside_runs_again(tmp_path: Path) -> None:
    """Whoever ends the service ends its commands too, and these may hear of it first."""
    seen = tmp_path / "seen"
    code = (
        f"import os, pathlib, signal; seen = pathlib.Path({str(seen)!r})\n"
        "if not seen.exists():\n    seen.touch(); os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "print('done')"
    )

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add("x", [code], "ta1")
        queue.start()
        await until(lambda: not job.open)
        assert (job.state, job.text) == (State.DONE, "done")
        await queue.stop()

    run(work)


def test_what_a_class_waits_for_goes_first(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        say = "open({0!r}, 'a').write({1!r})"
        jobs = [queue.add(name, [say.format(str(log), name)], "ta1") for name in ("a", "b")]
        jobs.append(queue.add("c", [say.format(str(log), "c")], "the calendar", first=True))
        assert [queue.before(job) for job in jobs] == [1, 2, 0]
        queue.start()
        await until(lambda: not any(job.open for job in queue.jobs))
        await queue.stop()

    run(work)
    assert log.read_text() == "cab"


def test_a_queue_that_cannot_be_kept_for_a_while_loses_nothing(tmp_path: Path) -> None:
    """As on a full disk."""

    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python, pause=0.05)
        jobs = [queue.add(name, [f"print({name!r})"], "ta1") for name in ("a", "b")]
        (tmp_path / "full").touch()
        queue.file = tmp_path / "full" / "queue.json"
        queue.start()
        await asyncio.sleep(0.5)
        assert [job.state for job in jobs] == [State.WAITING] * 2
        queue.file = tmp_path / "queue.json"
        await until(lambda: not any(job.open for job in jobs))
        assert [(job.state, job.text) for job in jobs] == [(State.DONE, "a"), (State.DONE, "b")]
        await queue.stop()

    run(work)


def test_a_command_that_somebody_ends_twice_has_failed(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        job = queue.add(
            "x", ["import os, signal; os.kill(os.getpid(), signal.SIGTERM); signal.pause()"], "ta1"
        )
        behind = queue.add("y", ["print('y')"], "ta1")
        queue.start()
        await until(lambda: not behind.open)
        assert (job.state, behind.state) == (State.FAILED, State.DONE)
        await queue.stop()

    run(work)


def test_a_command_that_waits_can_become_the_first(tmp_path: Path) -> None:
    async def work() -> None:
        queue = JobQueue(tmp_path / "queue.json", python)
        queue.add("a", ["print(1)"], "ta1")
        job = queue.add("b", ["print(2)"], "ines")
        assert queue.before(job) == 1
        assert queue.add("b", ["print(2)"], "the calendar", first=True) is job and queue.before(job) == 0

    run(work)


def test_what_jobs_said_is_forgotten_by_a_running_queue(tmp_path: Path) -> None:
    """`course student delete` is another process, and the queue holds what jobs said in memory."""
    file = tmp_path / "queue.json"

    async def work() -> None:
        queue = JobQueue(file, python)
        queue.start()
        old = queue.add("grade", ["print('ada', 17)"], "ta1")
        await until(lambda: not old.open)
        running = queue.add("grade", ["import time; time.sleep(2); print('ada', 18)"], "ta1")
        await until(lambda: running.state is State.RUNNING)
        forget_output(file)
        assert '"ada 17"' not in file.read_text()  # where no service runs, nobody else would
        queue.forget()
        assert old.text == FORGOTTEN and not file.with_suffix(".forget").exists()
        # begins after the second in which it was forgotten
        new = queue.add("grade", ["print('bob', 18)"], "ta1")
        await until(lambda: not new.open)
        assert (running.text, new.text) == (FORGOTTEN, "bob 18")
        queue.forget()
        assert new.text == "bob 18"
        await queue.stop()

    run(work)
    assert '"ada 1' not in file.read_text()


def test_a_damaged_queue_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"
    for text in ("", "[{]", '[{"number": 1}]', '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"queue\.json is damaged"):
            read_jobs(file)
        assert JobQueue(file, python).jobs == [] and not file.exists()
    damaged = sorted(tmp_path.glob("queue.json.damaged-*"))
    assert [one.read_text() for one in damaged] == ["", "[{]", '[{"number": 1}]', '{"a": 1}']
    forget_output(file)
    assert list(tmp_path.iterdir()) == []


def test_a_job_of_a_later_course_is_read_for_what_is_known_of_it(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"
    job = {
        "number": 1,
        "title": "t",
        "command": ["grade"],
        "who": "ta1",
        "asked": "2027-01-01",
        "state": "waiting",
    }
    file.write_text(json.dumps([job | {"colour": "red"}]))
    assert [one.title for one in JobQueue(file, python).jobs] == ["t"]
