"""`course student export` and `course student delete`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.student_data import export_student, forget_student


@click.group()
def student() -> None:
    """What is kept about one student."""


@student.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@INSTANCE
def export(name: str, file: Path, root: Path | None) -> None:
    """Write everything that is kept about the student NAME into FILE, a new zip archive."""
    target = chosen_instance(root)
    with console.status(f"gathering what is kept about {name}"):
        count = export_student(target, name, file)
    console.print(f"{file}: {count} files", markup=False)


@student.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@INSTANCE
def delete(name: str, yes: bool, root: Path | None) -> None:
    """Delete everything that is kept about the student NAME: hand-ins, grades, feedback. Receipts stay."""
    target = chosen_instance(root)
    if not yes:
        click.confirm(
            f"Delete every hand-in, grade and page of {name}? Only a backup brings them back", abort=True
        )
    gone = forget_student(target, name)
    console.print(
        f"deleted: {gone.attempts} attempts in the hand-in service, {gone.labs} labs in the gradebook, "
        f"{gone.folders} folders; {gone.receipts} receipts stay, which hold hashes and no work",
        markup=False,
    )
