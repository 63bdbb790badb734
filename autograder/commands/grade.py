"""`course grade`"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from autograder.commands.screen import progress
from autograder.course import Instance, instance, load_course
from autograder.errors import CourseError
from autograder.grade.course_grade import Graded, grade_lab, students_with

INSTANCE = click.option(
    "--instance",
    "root",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the instance; build/course by default.",
)


def chosen_instance(root: Path | None) -> Instance:
    """The instance named on the command line, or the default one."""
    return Instance(root.resolve()) if root else instance()


def known_lab(target: Instance, name: str) -> str:
    """The id of a lab that was built into the instance, or that course.toml knows by this name."""
    return name if target.bundle(name).is_file() else load_course().lab(name).id


@click.command()
@click.argument("lab")
@click.option("--student", default=None, help="Grade this student only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
@click.option(
    "--unsafe-no-sandbox",
    "unsafe",
    is_flag=True,
    help="Run hand-ins without bubblewrap, where every hand-in is trusted.",
)
@INSTANCE
def grade(lab: str, student: str | None, as_json: bool, unsafe: bool, root: Path | None) -> None:
    """Judge the hand-ins of LAB into the gradebook."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    total = len(students_with(target, lab_id, student))
    with progress() as bar:
        task = bar.add_task("grading", total=total)

        def before(name: str) -> None:
            bar.update(task, description=f"grading {name}")
            if bar.tasks[task].fields.get("started"):
                bar.advance(task)
            bar.update(task, started=True)

        graded = grade_lab(target, lab_id, student, unsafe=unsafe, before=before)
    if as_json:
        click.echo(json.dumps([item.to_dict() for item in graded]))
    else:
        Console(highlight=False).print(_table(graded))
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
        late = f", {item.seconds_late / 86400:.1f} days late" if item.seconds_late else ""
        table.add_row(
            item.student,
            "total (written questions by hand)",
            f"{item.score:g}/{item.maximum:g}",
            "",
            late,
            style="bold",
        )
    return table
