"""`course collect`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.grade.collect import collect_lab


@click.command()
@click.argument("lab")
@INSTANCE
def collect(lab: str, root: Path | None) -> None:
    """Collect the hand-ins of LAB from the exchange."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    students = collect_lab(target, lab_id)
    click.echo(f"{len(students)} students have handed in {lab_id}: {', '.join(students)}")
