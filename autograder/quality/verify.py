"""Prove a lab: the reference earns all, the untouched release nothing, nothing leaks, every mutant dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from nbformat import NotebookNode

from autograder.build.prove import find_leaks
from autograder.bundle import Bundle, MasterNotebook
from autograder.course import Instance
from autograder.grade.job import Grader
from autograder.grade.rebuild import rebuild
from autograder.grade.sandbox import Sandbox
from autograder.grade.verdict import NotebookVerdict, Outcome
from autograder.quality.handins import reference_notebook, released_notebook
from autograder.quality.mutants import missing_functions, read_mutants, run_mutants

CPU_LIMIT = 60.0
"""CPU seconds of one notebook with the reference, judge included."""


@dataclass
class MutantReport:
    """How many wrong solutions died as they should; `survivors` says why the others did not."""

    killed: int = 0
    total: int = 0
    survivors: list[str] = field(default_factory=list)


@dataclass
class NotebookReport:
    """One notebook's proof. `points` is its autograded maximum, `reference` and `untouched` percent of it.

    `untouched` is None where the untouched release was not judged.
    """

    lab: str
    notebook: str
    points: float
    reference: float
    untouched: float | None
    leaks: int
    seconds: float
    warnings: int
    mutants: MutantReport
    problems: list[str] = field(default_factory=list)

    @property
    def slow(self) -> list[str]:
        """The broken limit of CPU time. Not among the problems: it depends on the machine and its other work."""
        if self.seconds < CPU_LIMIT:
            return []
        return [f"{self.seconds:.0f} s of CPU, limit {CPU_LIMIT:.0f}"]

    def to_dict(self) -> dict[str, object]:
        """The object of `course verify --json`."""
        report = asdict(self)
        report.pop("problems")
        return report


def verify_notebook(
    bundle: Bundle,
    master: MasterNotebook,
    instance: Instance,
    *,
    untouched: bool = True,
    mutants: bool = True,
) -> NotebookReport:
    """Judge the reference in the sandbox and scan for leaks; the untouched release and the mutants if asked to."""
    grader = Grader.of(instance, bundle, Sandbox())
    reference = _judged(grader, master, reference_notebook)
    nothing = _percent(_judged(grader, master, released_notebook), master) if untouched else None
    texts = {
        f"{master.id}, cell {cell.grade_id or cell.id}": (cell.full, cell.released) for cell in master.cells
    }
    leaks = find_leaks(texts, instance.release / bundle.lab)
    wrong = read_mutants(bundle.lab, master.id)
    fates = run_mutants(master, wrong) if wrong and mutants else []
    survivors = [f"{fate.name}: {fate.why}" for fate in fates if fate.why]
    report = NotebookReport(
        bundle.lab,
        master.id,
        points=master.autograded_points,
        reference=_percent(reference, master),
        untouched=nothing,
        leaks=len(leaks),
        seconds=reference.cpu_seconds,
        warnings=sum(1 for _ in _stderr(reference)),
        mutants=MutantReport(len(fates) - len(survivors), len(fates), survivors),
    )
    report.problems = list(_problems(report, reference, master)) + [str(leak) for leak in leaks]
    missing = missing_functions(master, wrong)
    if missing:
        report.problems.append(f"no mutant for {', '.join(missing)}")
    return report


def _judged(
    grader: Grader, master: MasterNotebook, make: Callable[[MasterNotebook], NotebookNode]
) -> NotebookVerdict:
    """The verdict on a hand-in that `make` builds from the master notebook."""
    return grader.run(master, rebuild(master, make(master))[0], [])


def _percent(verdict: NotebookVerdict, master: MasterNotebook) -> float:
    return round(100 * verdict.score / master.autograded_points, 2)


def _stderr(verdict: NotebookVerdict) -> Iterator[str]:
    for run in verdict.runs:
        for output in run.outputs:
            if output.get("name") == "stderr":
                yield f"{run.id} wrote to stderr: {output['text'][:300]}"


def _problems(report: NotebookReport, reference: NotebookVerdict, master: MasterNotebook) -> Iterator[str]:
    if report.reference != 100:
        yield from (
            f"{cell.grade_id}: {cell.outcome}: {cell.message}"
            for cell in reference.cells
            if cell.outcome is not Outcome.PASS
        )
    yield from (f"{run.id}: {run.message}" for run in reference.runs if run.outcome is not Outcome.PASS)
    if report.untouched:
        yield f"the untouched release earns {report.untouched}%"
    if not 3 <= sum(cell.kind == "grade" for cell in master.cells) <= 6:
        yield "a notebook has 3 to 6 autograded cells"
    yield from _stderr(reference)
    yield from report.mutants.survivors


def prove_scores(bundle: Bundle, instance: Instance) -> list[str]:
    """What is wrong with a built lab's scores: the reference must earn all of them, the release none."""
    grader = Grader.of(instance, bundle, Sandbox())
    problems = []
    for master in bundle.notebooks:
        for make, expected in ((reference_notebook, 100.0), (released_notebook, 0.0)):
            verdict = _judged(grader, master, make)
            if _percent(verdict, master) != expected:
                name = "the reference" if expected else "the untouched release"
                lost = "; ".join(
                    f"{cell.grade_id}: {cell.message}"
                    for cell in verdict.cells
                    if (cell.points > 0) != (expected > 0)
                )
                problems.append(
                    f"{master.id}: {name} earns {_percent(verdict, master):g}%, not {expected:g}%: {lost}"
                )
    return problems
