"""`course feedback`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.commands.screen import console
from autograder.errors import CourseError
from autograder.report.feedback import make_feedback
from autograder.report.publish_feedback import publish_feedback


@click.command()
@click.argument("lab")
@click.option("--student", default=None, help="This student only.")
@click.option("--publish", is_flag=True, help="Also give the pages back to their students.")
@INSTANCE
def feedback(lab: str, student: str | None, publish: bool, root: Path | None) -> None:
    """Write the feedback pages of LAB."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    unwritten: CourseError | None = None
    pages: list[Path] = []
    with console.status(f"writing feedback for {lab_id}"):
        try:
            pages = make_feedback(target, lab_id, student)
        except CourseError as error:
            unwritten = error  # of single students: the others get theirs
    if publish:
        publish_feedback(target, lab_id, student)
    if unwritten is not None:
        raise unwritten
    click.echo(f"{len(pages)} pages {'published from' if publish else 'below'} {target.feedback}")
