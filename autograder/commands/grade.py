"""`course grade`"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from autograder.commands.screen import ToldProgress
from autograder.course import Instance, instance, load_course
from autograder.errors import ConfigurationError, CourseError
from autograder.grade.course_grade import Graded, Standing, Watch, grade_lab
from autograder.grade.engine import Engine
from autograder.service.permissions import INSTANCE_VARIABLE

INSTANCE = click.option(
    "--instance",
    "root",
    type=click.Path(path_type=Path),
    default=None,
    envvar=INSTANCE_VARIABLE,
    help=f"Folder of the instance; else that of {INSTANCE_VARIABLE}, else build/course.",
)


def chosen_instance(root: Path | None, *, for_root: bool = False) -> Instance:
    """The instance named on the command line, or the default one.

    Raises ConfigurationError for root in another account's instance, unless the command is `for_root`: files that
    it wrote there would be closed to the account, and links that the account left would lead it astray.
    """
    chosen = Instance(root.resolve()) if root else instance()
    if os.geteuid() == 0 and not for_root and chosen.root.is_dir():
        owner = chosen.root.stat().st_uid
        if owner != 0:
            try:
                name = pwd.getpwuid(owner).pw_name
            except KeyError:
                name = f"#{owner}"
            raise ConfigurationError(
                f"{chosen.root} belongs to the account {name}, and root would leave files there that it cannot read. "
                f"Run this as that account: runuser -u {name} -- .venv-staff/bin/course ..."
            )
    return chosen


def known_lab(target: Instance, name: str) -> str:
    """The id of a lab that was built into the instance, or that course.toml knows by this name."""
    return name if target.bundle(name).is_file() else load_course().lab(name).id


WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=None,
    help="Processes that judge side by side; by default one for each core.",
)
SCHEDULER = click.option(
    "--scheduler",
    default="",
    metavar="ADDRESS",
    help="Judge on the workers of this Dask scheduler (tls://...).",
)


@click.command()
@click.argument("labs", nargs=-1, required=True, metavar="LAB...")
@click.option("--student", default=None, help="Grade this student only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
@click.option(
    "--unsafe-no-sandbox",
    "unsafe",
    is_flag=True,
    help="Run hand-ins without bubblewrap, where every hand-in is trusted.",
)
@WORKERS
@SCHEDULER
@INSTANCE
def grade(
    labs: tuple[str, ...],
    student: str | None,
    as_json: bool,
    unsafe: bool,
    workers: int | None,
    scheduler: str,
    root: Path | None,
) -> None:
    """Judge the hand-ins of one LAB or several into the gradebook.

    What was judged before and has not changed is not judged again.
    """
    target = chosen_instance(root)
    lab_ids = [known_lab(target, lab) for lab in labs]
    graded: list[Graded] = []
    with chosen_engine(workers, scheduler) as engine, shown_progress() as watch:
        for lab_id in lab_ids:
            graded += grade_lab(target, lab_id, student, engine=engine, unsafe=unsafe, watch=watch)
    if as_json:
        click.echo(json.dumps([item.to_dict() for item in graded]))
    else:
        Console(highlight=False).print(_table(graded))
    require_stored(graded)


def chosen_engine(workers: int | None, scheduler: str) -> Engine:
    """The engine named on the command line; one worker for each core by default."""
    return Engine(workers or len(os.sched_getaffinity(0)), scheduler)


@contextlib.contextmanager
def shown_progress() -> Iterator[Watch]:
    """Show how far a run is: hand-ins written, notebooks judged, running, taken from the cache, failed."""
    columns = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with ToldProgress(*columns) as bar:
        task = bar.add_task("grading", total=None)

        def watch(standing: Standing) -> None:
            parts = [f"{standing.judged} notebooks judged", f"{standing.running} running"]
            parts += [f"{standing.cached} known"] if standing.cached else []
            parts += [f"{standing.failed} failed"] if standing.failed else []
            bar.update(
                task,
                total=standing.handins,
                completed=standing.written,
                description=f"grading ({', '.join(parts)})",
            )

        yield watch


def require_stored(graded: list[Graded]) -> None:
    """Raise CourseError when a hand-in could not be stored, with the reasons."""
    failed = [item for item in graded if item.failure]
    if failed:
        reasons = "\n".join(f"{item.student}: {item.failure[-800:]}" for item in failed)
        raise CourseError(f"{len(failed)} hand-ins could not be stored:\n{reasons}")


def _table(graded: list[Graded]) -> Table:
    table = Table("student", "notebook", "score", "CPU s", "outcomes that are not a pass")
    for item in graded:
        for verdict in item.verdicts:
            lost = "; ".join(
                f"{cell.grade_id}: {cell.outcome}" for cell in verdict.cells if cell.outcome != "pass"
            )
            score = f"{verdict.score:g}/{verdict.maximum:g}"
            table.add_row(item.student, verdict.notebook, score, f"{verdict.cpu_seconds:.1f}", lost)
        known = ", as before" if item.unchanged else ""
        late = (
            f", {item.seconds_late / 86400:.1f} days after the date for everybody"
            if item.seconds_late
            else ""
        )
        table.add_row(
            item.student,
            "total (written questions by hand)",
            f"{item.score:g}/{item.maximum:g}",
            "",
            late + known,
            style="bold",
        )
    return table
