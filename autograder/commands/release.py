"""`course release`"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from autograder.actions import note
from autograder.build.publish import (
    Plan,
    labs_of_week,
    only_new,
    plan_each,
    plan_releases,
    release_labs,
    require_erratum,
)
from autograder.build.released import releasing
from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import Course, Instance, Lab, load_course
from autograder.errors import BusyError, ConfigurationError, CourseError, IntakeError
from autograder.extensions import tell_deadlines
from autograder.schedule import dated, follow, followed, moment_of, on_path, opened
from autograder.semester.half_begun import require_whole


@click.command()
@click.argument("labs", nargs=-1)
@click.option("--week", type=int, default=None, help="Release the labs of this week of course.toml.")
@click.option(
    "--as-of",
    metavar="WHEN",
    default=None,
    help="Release every lab that is open at this date or local time, or `now`, and is not out yet.",
)
@click.option("--path", default=None, help="The learning path of course.toml that this class follows.")
@click.option("--dry-run", is_flag=True, help="Show what would be released and change nothing.")
@click.option(
    "--erratum",
    default=None,
    metavar="TEXT",
    help="One line for students, needed to release a changed lab again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
@INSTANCE
def release(
    labs: tuple[str, ...],
    week: int | None,
    as_of: str | None,
    path: str | None,
    dry_run: bool,
    erratum: str | None,
    as_json: bool,
    root: Path | None,
) -> None:
    """Let students fetch LABS, or those of one week, or those that are open by now, as they were built."""
    target = chosen_instance(root)
    whole = load_course()
    course = on_path(dated(whole, target), path) if path else followed(whole, target)
    chosen = _chosen(course, labs, week, as_of)
    refused: dict[str, CourseError] = {}
    with contextlib.nullcontext() if dry_run else releasing(target):
        require_whole(target)
        if as_of is None:
            plans = plan_releases(chosen, course, target)
        else:
            plans, refused = plan_each(chosen, course, target)
        if as_json:
            click.echo(json.dumps([plan.to_dict() for plan in plans]))
        else:
            Console(highlight=False).print(_table(plans))
        if as_of is None:
            require_erratum(plans, erratum)
        if not dry_run:
            if path and follow(target, path):
                note(target, f"the class follows the path {path}")
            if as_of is None:
                _publish(plans, course, target, erratum)
            else:
                refused |= _publish_each(only_new(plans), course, target)
            _tell_deadlines(target, course)
    if as_of is not None:
        for plan in plans:
            if plan.state == "erratum":
                console.print(
                    f"{plan.lab.id} differs from what students have and was left alone: release it with --erratum",
                    markup=False,
                )
    unchanged = [plan.lab.id for plan in plans if plan.state == "unchanged"]
    if unchanged:
        console.print(f"students already have {', '.join(unchanged)}: nothing to do", markup=False)
    if dry_run:
        console.print("dry run: nothing was changed")
    if refused:
        reasons = "\n".join(f"{lab}: {error}" for lab, error in refused.items())
        others = "would be out" if dry_run else "is out"
        raise ConfigurationError(f"open, and left alone:\n{reasons}\nEverything else that is open {others}")


def _chosen(course: Course, labs: tuple[str, ...], week: int | None, as_of: str | None) -> list[Lab]:
    if [bool(labs), week is not None, as_of is not None].count(True) != 1:
        raise click.UsageError("name LABS, --week N or --as-of WHEN, one of the three")
    if as_of is not None:
        return opened(course, moment_of(as_of, course))
    found = labs_of_week(course, week) if week is not None else course.select(labs)
    return list(dict.fromkeys(found))


def _publish(plans: Sequence[Plan], course: Course, target: Instance, erratum: str | None) -> None:
    for plan in plans:
        release_labs([plan], course, target, erratum)
        if plan.state != "unchanged":
            done = "published a lab" if plan.state == "new" else "published an erratum"
            note(target, done, lab=plan.lab.id)


def _publish_each(plans: Sequence[Plan], course: Course, target: Instance) -> dict[str, CourseError]:
    """For a schedule: one lab that cannot be published does not hold up the others. Returns why it cannot."""
    refused = {}
    for plan in plans:
        try:
            _publish([plan], course, target, None)
        except CourseError as error:
            refused[plan.lab.id] = error
    return refused


def _tell_deadlines(target: Instance, course: Course) -> None:
    """What is out is out: a hand-in service that is down, or starting, does not make a release fail."""
    try:
        tell_deadlines(target, course)
    except (IntakeError, BusyError) as error:
        console.print(f"{error}: course deadlines", markup=False)


def _table(plans: Sequence[Plan]) -> Table:
    table = Table(
        Column("lab", overflow="fold"),
        "week",
        "due",
        "state",
        "notebooks",
        Column("goes to", overflow="fold"),
    )
    for plan in plans:
        state = plan.state
        for name, cells in plan.changed.items():
            file = name.removesuffix(".ipynb")
            what = f"{file} cell {', '.join(cells)}" if name != file else f"{file}: {', '.join(cells)}"
            state += f"{':' if state == plan.state else ';'} {what}"
        due = f"{plan.due:%Y-%m-%d %H:%M} {plan.due.tzinfo}"
        count = str(len(plan.lab.notebooks))
        table.add_row(plan.lab.id, str(plan.lab.week), due, state, count, str(plan.destination))
    return table
