"""Measure the grader against plain nbgrader in one run, on the same hand-ins and the same machine.

A hand-in is one notebook of one student with the reference in it, and a comment that makes it unlike the
others, because the cache judges the same content once. It is graded as a person does it, by one `course grade`
for all labs: with two workers, in a fresh instance with one, again with nothing changed; then by stock
`nbgrader autograde`, lab after lab, with one thread and with as many as it likes.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.build.builder import build_lab
from autograder.bundle import MasterNotebook
from autograder.course import ROOT, Course, Instance, Lab
from autograder.errors import ConfigurationError, QualityError
from autograder.grade.engine import Engine
from autograder.grade.sandbox import Sandbox
from autograder.quality import stand_in
from autograder.quality.handins import reference_notebook
from autograder.quality.measured import machine, measure
from autograder.quality.plain import Scores, automatic_scores, plain_autograde

NOTEBOOKS = ("Lab-3.1:03", "Lab-3.2:01", "Lab-3.5:04", "Lab-3.9:01")
"""Light and heavy ones, of all three tracks."""
WORKERS = 2
FRESH_KERNEL, WARM_KERNEL = 4.6, 0.6
"""CPU seconds beyond a notebook's own: of plain nbgrader's kernel, and what ours may take. They set the limit."""
Say = Callable[[str, int, int], None]
"""Told what is being done, how many steps are done, and of how many."""


@dataclass
class GradeBench:
    """Ratios of one run; above 1 the first of two is better. CPU in seconds a notebook, with two workers.

    Every wall time includes the start of its commands, and so of clusters and warm templates.
    """

    throughput_ratio: float
    """Wall time of plain nbgrader with one thread, over ours with two workers."""
    throughput_ratio_unpinned: float
    """The same with as many threads as plain nbgrader likes."""
    limit_ratio: float
    """What the first could reach on two cores: 2 (w + 4.6) / (w + 0.6), where w is the next."""
    mean_own_cpu_seconds: float
    """CPU of the hand-in's own cells and checks."""
    overhead_cpu_seconds_per_notebook: float
    """CPU of judge and kernel beyond that, from their fork to the verdict."""
    total_overhead_cpu_seconds_per_notebook: float
    """CPU of the whole run beyond the cells' own: commands, scheduler, workers, templates, gradebook."""
    scaling_1_to_2: float
    """Wall time with one worker over that with two."""
    peak_worker_mb: float
    """Memory (PSS, MiB) of the larger worker with all below it."""
    engine_ms_per_job: float
    """Milliseconds from one result to the next when nothing is judged, with two workers."""
    rerun_ratio: float
    """Wall time of the first run over that of a second one, with nothing changed."""
    notebooks: dict[str, dict[str, float]]
    """Means of each notebook: CPU `own`, of cells and checks, and `overhead`, of judge and kernel beyond that."""
    seconds: dict[str, float]
    """Wall time of each run."""
    submissions: int
    machine: str

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


@dataclass
class _Run:
    """What one `course grade` took for all labs."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_worker_mb: float = 0.0
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    unchanged: bool = True
    """Whether the gradebook held every grade before."""


def chosen_notebooks(course: Course, names: Sequence[str]) -> list[tuple[Lab, str]]:
    """Labs and ids of notebooks from texts such as `Lab-3.1:03`. Raises ConfigurationError."""
    found = []
    for name in names:
        lab = course.lab(name.partition(":")[0])
        start = name.partition(":")[2]
        matches = [notebook for notebook in lab.notebooks if notebook.startswith(start)]
        if len(matches) != 1:
            known = ", ".join(lab.notebooks)
            raise ConfigurationError(f"{name!r} names no single notebook; those of {lab.id} are: {known}")
        found.append((lab, matches[0]))
    return found


def bench_grade(
    course: Course, notebooks: Sequence[tuple[Lab, str]], count: int, say: Say, engine_jobs: int = 300
) -> GradeBench:
    """Grade `count` hand-ins, dealt out over labs and ids of notebooks, in every way; see the module.

    Raises QualityError when a run fails, or when two do not give the same scores, since then there is
    nothing to compare.
    """
    notebooks = notebooks[:count]
    labs = list({lab.id: lab for lab, _ in notebooks}.values())
    steps = _Steps(say, 3 * len(labs) + 4)
    with tempfile.TemporaryDirectory(prefix="course-bench-") as name:
        folder = Path(name)
        instance, alone, stock = (Instance(folder / name) for name in ("two", "one", "stock"))
        masters: dict[tuple[str, str], MasterNotebook] = {}
        for lab in labs:
            steps.next(f"building {lab.id}")
            bundle = build_lab(lab, course, instance, course.language)
            masters |= {(lab.id, master.id): master for master in bundle.notebooks}
        for number in range(count):
            lab, notebook = notebooks[number % len(notebooks)]
            target = instance.submitted / f"student{number:03d}" / lab.id
            target.mkdir(parents=True)
            nbformat.write(unique_reference(masters[lab.id, notebook], number), target / f"{notebook}.ipynb")
        for copy in (alone, stock):
            shutil.copytree(instance.root, copy.root)
        two = _grade(instance, labs, WORKERS, steps, f"{WORKERS} workers")
        one = _grade(alone, labs, 1, steps, "1 worker")
        again = _grade(instance, labs, WORKERS, steps, "nothing changed")
        if not again.unchanged:
            raise QualityError(
                "the rerun judged again: the checkout was changed during the bench. Start anew"
            )
        scores = _scores(instance, labs)
        require_same(scores, _scores(alone, labs), "one worker and two")
        pinned = _plain(stock, labs, folder / "pinned", 1, steps, scores)
        unpinned = _plain(stock, labs, folder / "unpinned", None, steps, scores)
    steps.next(f"{engine_jobs} jobs with nothing to judge")
    engine_ms = engine_ms_per_job(engine_jobs)
    own = sum(verdict["cells_cpu_seconds"] for verdict in two.verdicts)
    judging = sum(verdict["cpu_seconds"] for verdict in two.verdicts)
    w = own / count
    return GradeBench(
        throughput_ratio=round(pinned / two.seconds, 2),
        throughput_ratio_unpinned=round(unpinned / two.seconds, 2),
        limit_ratio=round(2 * (w + FRESH_KERNEL) / (w + WARM_KERNEL), 2),
        mean_own_cpu_seconds=round(w, 2),
        overhead_cpu_seconds_per_notebook=round((judging - own) / count, 2),
        total_overhead_cpu_seconds_per_notebook=round((two.cpu_seconds - own) / count, 2),
        scaling_1_to_2=round(one.seconds / two.seconds, 2),
        peak_worker_mb=round(two.peak_worker_mb),
        engine_ms_per_job=round(engine_ms, 1),
        rerun_ratio=round(two.seconds / again.seconds, 1),
        notebooks=_means(two.verdicts),
        seconds={
            "two_workers": round(two.seconds, 1),
            "one_worker": round(one.seconds, 1),
            "rerun": round(again.seconds, 1),
            "plain_one_thread": round(pinned, 1),
            "plain_unpinned": round(unpinned, 1),
        },
        submissions=count,
        machine=machine(),
    )


def _means(verdicts: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for verdict in verdicts:
        found.setdefault(f"{verdict['lab']}/{verdict['notebook']}", []).append(verdict)
    means = {}
    for name, items in found.items():
        own = sum(item["cells_cpu_seconds"] for item in items) / len(items)
        whole = sum(item["cpu_seconds"] for item in items) / len(items)
        means[name] = {"own": round(own, 2), "overhead": round(whole - own, 2)}
    return means


class _Steps:
    def __init__(self, say: Say, total: int) -> None:
        self.say, self.total, self.done = say, total, 0

    def next(self, what: str) -> None:
        self.say(what, self.done, self.total)
        self.done += 1


def unique_reference(master: MasterNotebook, number: int) -> NotebookNode:
    """The reference, with a comment of this student's own below the first solution."""
    notebook = reference_notebook(master)
    slot = next(cell.id for cell in master.cells if cell.kind == "solution")
    (cell,) = (cell for cell in notebook.cells if cell.id == slot)
    cell.source += f"\n# hand-in {number}"
    return notebook


def _grade(instance: Instance, labs: Sequence[Lab], workers: int, steps: _Steps, what: str) -> _Run:
    steps.next(f"course grade, {what}")
    # not the script in .venv-staff, so that a checkout under another name is measured too
    command = [sys.executable, "-m", "autograder", "grade", *(lab.id for lab in labs), "--json"]
    done = measure([*command, "--instance", str(instance.root), "--workers", str(workers)], ROOT)
    graded = json.loads(done.output)
    verdicts = [verdict | {"lab": item["lab"]} for item in graded for verdict in item["verdicts"]]
    cpu_seconds = done.cpu_seconds + sum(verdict["cpu_seconds"] for verdict in verdicts)
    if any("warm start" in verdict["sandbox"] for verdict in verdicts):
        cpu_seconds += done.template_cpu_seconds  # without warm start each is in its verdict
    unchanged = all(item["unchanged"] for item in graded)
    return _Run(done.seconds, cpu_seconds, done.peak_worker_mb, verdicts, unchanged)


def _plain(
    instance: Instance, labs: Sequence[Lab], folder: Path, threads: int | None, steps: _Steps, ours: Scores
) -> float:
    """Wall seconds of stock nbgrader over all labs. Raises QualityError when its scores are not ours."""
    scores: Scores = {}
    seconds = 0.0
    how = "as many threads as it likes" if threads is None else f"{threads} thread"
    for lab in labs:
        steps.next(f"plain nbgrader autograde {lab.id}, {how}")
        run = plain_autograde(instance, lab.id, folder / lab.id, threads)
        scores |= run.scores
        seconds += run.seconds
    require_same(ours, scores, f"the judge and plain nbgrader with {how}")
    return seconds


def _scores(instance: Instance, labs: Sequence[Lab]) -> Scores:
    scores: Scores = {}
    for lab in labs:
        scores |= automatic_scores(instance, lab.id)
    return scores


def require_same(ours: Scores, other: Scores, who: str) -> None:
    """Raise QualityError, naming the cells, when two runs did not give the same scores."""
    different = sorted(key for key in ours.keys() | other.keys() if ours.get(key) != other.get(key))
    if different:
        shown = "; ".join(f"{'/'.join(key)}: {ours.get(key)}, {other.get(key)}" for key in different[:5])
        raise QualityError(f"{who} disagree on {len(different)} cells: {shown}")


def engine_ms_per_job(count: int) -> float:
    """Milliseconds a job of the real engine with two workers takes when nothing is judged.

    From the first result to the last, so that the start of the cluster is not in it. `count` is 2 or more.
    """
    jobs = ((str(number), stand_in.job("nothing", 0.0)) for number in range(count))
    arrived = [time.monotonic() for _ in Engine(WORKERS).run(jobs, Sandbox(), do=stand_in.judge)]
    return 1000 * (arrived[-1] - arrived[0]) / (len(arrived) - 1)
