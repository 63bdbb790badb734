"""Grade the hand-ins of one lab into nbgrader's gradebook.

Hand-ins are taken in and rebuilt here; what the cache does not know goes to the engine; and each hand-in whose
verdicts are all there is written, by nbgrader's own autograde with the judge's preprocessors, which find the
verdicts in the cache. Killed at any point, the same command goes on: a verdict is kept as soon as it exists,
and writing a hand-in twice writes the same.
"""

from __future__ import annotations

import contextlib
import glob
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from traitlets.config import Config

from autograder.bundle import read_bundle
from autograder.course import Instance
from autograder.errors import EngineError, IntakeError
from autograder.grade.cache import VerdictCache
from autograder.grade.current import is_current, withdraw_missing
from autograder.grade.engine import SERIAL, Engine
from autograder.grade.fingerprint import job_key
from autograder.grade.intake import finish_interrupted, interrupted
from autograder.grade.job import Grader
from autograder.grade.preprocessors import handed_in_job, stored_verdict, take_in_one
from autograder.grade.receipts import Receipts
from autograder.grade.sandbox import Limits, Sandbox, require
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.work import Fault
from autograder.gradebook import one_writer, open_gradebook, require_writable
from autograder.nbgrader_api import call_nbgrader, quiet


@dataclass
class Graded:
    """One graded hand-in. `failure` is set when nbgrader could not process it; then nothing was stored.

    `unchanged` says that the gradebook held this very grade already, so that nothing was done.
    """

    student: str
    lab: str
    score: float
    maximum: float
    seconds_late: float
    verdicts: list[NotebookVerdict]
    failure: str = ""
    unchanged: bool = False

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


@dataclass
class Standing:
    """Where a run of `grade_lab` is. Notebooks are judged or taken from the cache; hand-ins are written."""

    handins: int
    written: int = 0
    judged: int = 0
    running: int = 0
    cached: int = 0
    failed: int = 0


Watch = Callable[[Standing], None]


def students_with(instance: Instance, lab_id: str, student: str | None) -> list[str]:
    """The students whose hand-ins are to be graded. Raises IntakeError when there is none."""
    for folder in instance.submitted.glob("*"):
        if interrupted(folder / lab_id):
            with one_writer(instance):  # another `course grade` may be at that very hand-in
                finish_interrupted(folder / lab_id)
    pattern = f"{glob.escape(student) if student else '*'}/{lab_id}"
    found = sorted(path.parent.name for path in instance.submitted.glob(pattern))
    if not found:
        who = f"{student} has handed in nothing" if student else "no student has handed in"
        raise IntakeError(
            f"{who} for {lab_id}: expected notebooks in {instance.submitted / (student or 'STUDENT') / lab_id}"
        )
    return found


def grade_lab(
    instance: Instance,
    lab_id: str,
    student: str | None = None,
    *,
    engine: Engine = SERIAL,
    unsafe: bool = False,
    limits: dict[str, int] | None = None,
    again: bool = False,
    watch: Watch = lambda standing: None,
) -> list[Graded]:
    """Judge every hand-in of a lab, or one student's; in order of their names.

    `limits` replaces fields of `autograder.grade.sandbox.Limits`. `again` judges what the cache knows, too.

    Raises CourseError before any hand-in is touched when sandbox, bundle or gradebook are not usable.
    """
    read_bundle(instance.bundle(lab_id))
    if not unsafe:
        require("bwrap", "bubblewrap")
    require_writable(instance)
    sandbox = Sandbox(Limits(**(limits or {})), unsafe)
    run = _Run(instance, lab_id, students_with(instance, lab_id, student), sandbox, again, watch)
    return run.all(engine)


@dataclass
class _Run:
    """One run: what waits for which verdicts, and what can be written."""

    instance: Instance
    lab_id: str
    students: list[str]
    sandbox: Sandbox
    again: bool
    watch: Watch
    missing: dict[str, set[str]] = field(default_factory=dict)
    """For each student the keys of verdicts that are still out."""
    ready: deque[str] = field(default_factory=deque)
    graded: dict[str, Graded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bundle = read_bundle(self.instance.bundle(self.lab_id))
        self.grader = Grader.of(self.instance, self.bundle, self.sandbox)
        self.cache = VerdictCache(self.instance.cache)
        self.latest = Receipts(self.instance.receipts).latest()
        self.standing = Standing(len(self.students))
        self.out: set[str] = set()

    def all(self, engine: Engine) -> list[Graded]:
        for key, result in engine.run(self.jobs(), self.sandbox, self._running):
            self.out.discard(key)
            if isinstance(result, Fault):
                if result.machine:
                    raise EngineError(result.text)
                self.standing.failed += 1  # tried once more while it is written, with a control beside it
            else:
                self.cache.put(key, result)
            self.standing.judged += 1
            for name, keys in list(self.missing.items()):
                keys.discard(key)
                if not keys:
                    del self.missing[name]
                    self.ready.append(name)
            while self.ready:
                self._write(self.ready.popleft())
            self.watch(self.standing)
        while self.ready:
            self._write(self.ready.popleft())
        return [self.graded[name] for name in self.students]

    def jobs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What has to be judged, made when there is room for it; the rest of the work is put into `ready`."""
        for name in self.students:
            try:
                with one_writer(self.instance):  # two people grading take turns
                    take_in_one(self.instance, name, self.lab_id)
                if not self.again and is_current(self.instance, self.bundle, name, self.sandbox, self.latest):
                    self._read_back(name, unchanged=True)
                    continue
                yield from self._jobs_of(name)
            except OSError as error:  # one student's odd files must not keep the others waiting
                self._failed(name, f"the hand-in could not be read: {error}")

    def _jobs_of(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        needed = {}
        folder = self.instance.submitted / name / self.lab_id
        for master in self.bundle.notebooks:
            if not (folder / f"{master.id}.ipynb").is_file():
                continue
            job = handed_in_job(self.instance, self.grader, master, name)
            key = job_key(job, self.sandbox)
            if self.again and key not in self.out:
                self.cache.forget(key)
            if self.cache.get(key) is None:
                needed[key] = job
            else:
                self.standing.cached += 1
        if not needed:
            self.ready.append(name)
            return
        self.missing[name] = set(needed)
        for key, job in needed.items():
            if key not in self.out:  # two students may have handed in the same
                self.out.add(key)
                yield key, job

    def _write(self, name: str) -> None:
        """Have nbgrader store one hand-in; one at a time, so that two people grading take turns."""
        changed = {"unsafe_no_sandbox": self.sandbox.unsafe, "limits": _changed(self.sandbox.limits)}
        config = Config({"Judge": changed})
        try:
            with one_writer(self.instance), _interrupted_later():
                take_in_one(self.instance, name, self.lab_id)
                failure = call_nbgrader(
                    self.instance, "autograde", self.lab_id, name, config=config, force=True, create=True
                )
                if not failure:
                    withdraw_missing(self.instance, self.bundle, name)
        except OSError as error:
            failure = f"the hand-in could not be read: {error}"
        self._read_back(name, failure)

    def _read_back(self, name: str, failure: str = "", *, unchanged: bool = False) -> None:
        with open_gradebook(self.instance) as gradebook, quiet():
            self.graded[name] = read_back(self.instance, gradebook, name, self.lab_id, failure)
        self.graded[name].unchanged = unchanged
        self.standing.written += 1
        self.watch(self.standing)

    def _failed(self, name: str, failure: str) -> None:
        self.standing.failed += 1
        self._read_back(name, failure)

    def _running(self, count: int) -> None:
        self.standing.running = count
        self.watch(self.standing)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Hold Ctrl-C back until a hand-in is written; nbgrader takes it for a failure. A second one is not held."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def hold(*_: object) -> None:
        held.append(signal.SIGINT)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def read_back(instance: Instance, gradebook: Gradebook, student: str, lab_id: str, failure: str) -> Graded:
    """What the gradebook and the stored verdicts say about one hand-in."""
    found = map(stored_verdict, sorted((instance.verdicts / lab_id / student).glob("*.json")))
    verdicts = [verdict for verdict in found if verdict is not None]
    try:
        submission = gradebook.find_submission(lab_id, student)
    except MissingEntry:
        return Graded(student, lab_id, 0.0, 0.0, 0.0, verdicts, failure or "nothing was stored")
    late = submission.total_seconds_late
    return Graded(student, lab_id, submission.score, submission.max_score, late, verdicts, failure)


def _changed(limits: Limits) -> dict[str, int]:
    usual = asdict(Limits())
    return {name: value for name, value in asdict(limits).items() if value != usual[name]}
