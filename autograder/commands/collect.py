"""`course collect`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.commands.screen import console
from autograder.errors import IntakeError
from autograder.grade.collect import collect_lab


@click.command()
@click.argument("lab")
@INSTANCE
def collect(lab: str, root: Path | None) -> None:
    """Collect the newest hand-in of each student for LAB from the hand-in service."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    with console.status(f"collecting {lab_id}"):
        found = collect_lab(target, lab_id)
    click.echo(f"{len(found.students)} students have handed in {lab_id}: {', '.join(found.students)}")
    click.echo(f"{len(found.new)} were not here before")
    if found.failed:
        lines = [f"{student}: {why}" for student, why in found.failed.items()]
        raise IntakeError("not collected:\n" + "\n".join(lines))
