"""A whole semester through the real engine, with sleep in the place of judging, while workers are killed.

How long a job sleeps comes from `durations.json`: CPU seconds of each of the 48 notebooks with the reference
in it, as `course verify` measured them once, on two cores, with a fresh kernel a notebook (the table of
README.md). They say how unequal the jobs are; multiplied by `scale` they end within minutes.

The gradebook's one writer is measured apart: hand-ins of one real lab whose verdicts the cache has already.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil

from autograder.build.builder import build_lab
from autograder.bundle import Bundle
from autograder.course import Course, Instance, Lab
from autograder.errors import QualityError
from autograder.grade.cache import VerdictCache
from autograder.grade.course_grade import Standing, grade_lab
from autograder.grade.engine import Engine
from autograder.grade.fingerprint import job_key
from autograder.grade.job import Grader
from autograder.grade.rebuild import rebuild
from autograder.grade.sandbox import Sandbox
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.work import Fault, work
from autograder.quality import stand_in
from autograder.quality.handins import reference_notebook
from autograder.quality.measured import machine, workers_of

DURATIONS = Path(__file__).with_name("durations.json")
LOOK_EVERY = 50
"""Results between two looks at the memory of this process."""
Advance = Callable[[int, int], None]
"""Told how many are done, and of how many."""


@dataclass
class EngineRun:
    """What came of the jobs. `lost` and `doubled` have to be 0."""

    jobs: int
    results: int
    """Verdicts that came back."""
    faults: int
    """Jobs given up, because too many workers died under them."""
    lost: int
    """Jobs of which nothing came back."""
    doubled: int
    """Results beyond one for each job."""
    killed: int
    """Workers ended with SIGKILL meanwhile."""
    seconds: float
    """Wall time, start of the cluster included."""
    engine_ms_per_job: float
    """Milliseconds a job beyond the workers' sleep, from first result to last; time lost to kills is in it."""
    client_mb: float
    """Peak memory (RSS, MiB) of the process with client and scheduler."""
    client_mb_before: float
    """The same before the first job."""


@dataclass
class ScaleBench:
    """One run, for a screen or `--json`."""

    engine: EngineRun
    lab: str
    written: int
    """Hand-ins that the writer stored."""
    writer_handins_per_second: float
    machine: str

    def to_dict(self) -> dict[str, object]:
        """For `--json`: one flat object."""
        rest = asdict(self)
        return {**rest.pop("engine"), **rest}

    def hours_for(self, handins: int) -> float:
        """How long the writer would take for so many hand-ins at the same rate: extrapolated, not measured."""
        return handins / self.writer_handins_per_second / 3600


def recorded() -> dict[str, float]:
    """Seconds of each of the 48 notebooks, see the module."""
    found: dict[str, float] = json.loads(DURATIONS.read_text("utf-8"))
    return found


def run_engine(
    students: int, notebooks: int, scale: float, workers: int, kills: int, advance: Advance
) -> EngineRun:
    """Send `students` times `notebooks` jobs through an engine and kill its workers as it goes.

    A job sleeps its recorded seconds times `scale`. The kills are spread evenly over the results, one
    worker after another. `workers` is 2 or more: one alone is this process.
    """
    durations = dict(list(recorded().items())[:notebooks])
    total = students * len(durations)
    kill_at = {total * (number + 1) // (kills + 1) for number in range(kills)}
    here, watched = psutil.Process(), _Counted()
    before = here.memory_info().rss
    started = time.monotonic()
    jobs = _jobs(students, durations, scale)
    for number, (key, result) in enumerate(Engine(workers).run(jobs, Sandbox(), do=stand_in.judge), 1):
        watched.take(key, result)
        if number in kill_at:
            victims = workers_of(here)
            victims[watched.killed % len(victims)].kill()
            watched.killed += 1
        if number % LOOK_EVERY == 0 or number == total:
            watched.memory = max(watched.memory, here.memory_info().rss)
            advance(number, total)
    ended = time.monotonic()
    sleeping = students * sum(durations.values()) * scale / workers
    return EngineRun(
        jobs=total,
        results=sum(watched.verdicts.values()),
        faults=len(watched.faults),
        lost=total - len(watched.verdicts.keys() | watched.faults),
        doubled=sum(watched.verdicts.values()) - len(watched.verdicts),
        killed=watched.killed,
        seconds=round(ended - started, 1),
        engine_ms_per_job=round(1000 * (ended - watched.first - sleeping) / total, 1),
        client_mb=round(watched.memory / 2**20),
        client_mb_before=round(before / 2**20),
    )


class _Counted:
    """Results as they come."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.faults: set[str] = set()
        self.killed = 0
        self.memory = 0
        self.first = 0.0

    def take(self, key: str, result: NotebookVerdict | Fault) -> None:
        self.first = self.first or time.monotonic()
        if isinstance(result, Fault):
            self.faults.add(key)
        else:
            self.verdicts[key] += 1


def _jobs(students: int, durations: dict[str, float], scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, seconds in durations.items():
        for student in range(students):
            yield f"{name}, student {student}", stand_in.job(name, seconds * scale)


class _NothingToJudge(Engine):
    """An engine that refuses every job, because the cache should have known it."""

    def run(
        self,
        jobs: Iterable[tuple[str, dict[str, Any]]],
        sandbox: Sandbox,
        running: Callable[[int], None] = lambda count: None,
        do: Callable[[bytes], bytes] = work,
    ) -> Iterator[tuple[str, NotebookVerdict | Fault]]:
        for key, _ in jobs:
            raise QualityError(f"the cache was filled under other keys than grading looks for, such as {key}")
        return iter(())


def run_writer(lab: Lab, course: Course, students: int, advance: Advance) -> float:
    """Hand-ins a second that `grade_lab` takes in and stores when the cache holds every verdict.

    Each hand-in has all notebooks of the lab. Raises QualityError when one is not stored.
    """
    with tempfile.TemporaryDirectory(prefix="course-bench-") as name:
        instance = Instance(Path(name) / "instance")
        bundle = build_lab(lab, course, instance, course.language)
        _fill(instance, bundle, students)

        def watch(standing: Standing) -> None:
            advance(standing.written, students)

        started = time.monotonic()
        graded = grade_lab(instance, lab.id, engine=_NothingToJudge(), watch=watch)
        seconds = time.monotonic() - started
    full = sum(master.autograded_points for master in bundle.notebooks)
    wrong = [item for item in graded if item.failure or item.score != full]
    if wrong or len(graded) != students:
        raise QualityError(f"{len(wrong)} of {students} hand-ins were not stored: {wrong[:1]}")
    return students / seconds


def _fill(instance: Instance, bundle: Bundle, students: int) -> None:
    """Hand in the reference for every student, each with a comment of its own, and put verdicts into the cache."""
    sandbox = Sandbox()
    grader, cache = Grader.of(instance, bundle, sandbox), VerdictCache(instance.cache)
    for number in range(students):
        folder = instance.submitted / f"student{number:03d}" / bundle.lab
        folder.mkdir(parents=True)
        for master in bundle.notebooks:
            notebook = reference_notebook(master)
            slot = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
            slot.source += f"\n# hand-in {number}"
            nbformat.write(notebook, folder / f"{master.id}.ipynb")
            points = {cell.grade_id or "": cell.points for cell in master.cells if cell.kind == "grade"}
            key = job_key(grader.job(master, rebuild(master, notebook)[0], []), sandbox)
            cache.put(key, stand_in.verdict(master.id, points, slot.id))


def bench_scale(
    course: Course,
    lab: Lab,
    *,
    students: int,
    notebooks: int,
    scale: float,
    workers: int,
    kills: int,
    written: int,
    engine_advance: Advance,
    writer_advance: Advance,
) -> ScaleBench:
    """Both measurements, one after the other. Raises QualityError when a job was lost or doubled."""
    run = run_engine(students, notebooks, scale, workers, kills, engine_advance)
    if run.lost or run.doubled:
        raise QualityError(f"{run.lost} jobs were lost and {run.doubled} came back twice: {run}")
    rate = run_writer(lab, course, written, writer_advance)
    return ScaleBench(run, lab.id, written, round(rate, 2), machine())
