"""`course regrade` and `course audit`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from autograder.commands.grade import (
    INSTANCE,
    SCHEDULER,
    WORKERS,
    chosen_engine,
    chosen_instance,
    known_lab,
    require_stored,
    shown_progress,
)
from autograder.commands.screen import console
from autograder.errors import ReceiptError
from autograder.grade.audit import audit as run_audit
from autograder.grade.regrade import Change, regrade_lab


@click.command()
@click.argument("lab")
@click.option("--student", default=None, help="Regrade this student only.")
@click.option("--again", is_flag=True, help="Judge everything anew, what did not change too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list of changes instead of a table.")
@WORKERS
@SCHEDULER
@INSTANCE
def regrade(
    lab: str,
    student: str | None,
    again: bool,
    as_json: bool,
    workers: int | None,
    scheduler: str,
    root: Path | None,
) -> None:
    """Grade LAB again where something changed, and print whose grade changed and why.

    Scores and comments that a person gave stay. A person is asked again only where an automatic score changed.
    """
    target = chosen_instance(root)
    with chosen_engine(workers, scheduler) as engine, shown_progress() as watch:
        graded, changes = regrade_lab(target, known_lab(target, lab), student, engine, watch, again=again)
    if as_json:
        click.echo(json.dumps([asdict(change) for change in changes]))
    else:
        same = sum(item.unchanged for item in graded)
        click.echo(f"{len(graded)} hand-ins: {same} with nothing to do, {len(graded) - same} graded again")
        Console(highlight=False).print(_table(changes) if changes else "no grade changed")
        if changes:
            console.print(
                f"students see the earlier scores until: course feedback {lab} --publish", markup=False
            )
    require_stored(graded)


def _table(changes: list[Change]) -> Table:
    table = Table("student", "notebook", "cell", "before", "after", "what had changed")
    for change in changes:
        table.add_row(
            change.student, change.notebook, change.grade_id, change.before, change.after, change.why
        )
    return table


@click.command()
@click.option("--head", default="", help="A hash printed by an earlier audit, which has to be in the chain.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@INSTANCE
def audit(head: str, as_json: bool, root: Path | None) -> None:
    """Check the chains of receipts and of the staff's journal, and that the gradebook says what the receipts say."""
    found = run_audit(chosen_instance(root), head)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{found.receipts} receipts, the last is {found.head or 'unknown'}")
        click.echo(f"{found.actions} lines in the staff's journal, the last is {found.actions_head}")
    if found.problems:
        raise ReceiptError("the audit found:\n  " + "\n  ".join(found.problems))
