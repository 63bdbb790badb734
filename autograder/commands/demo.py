"""`course demo`"""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console
from rich.table import Table

from autograder.commands.screen import console
from autograder.course import ROOT, instance, load_course
from autograder.demo.semester import Row, run_semester
from autograder.errors import QualityError


@click.command()
@click.option("--serve", is_flag=True, help="Then serve what was graded, until Ctrl-C.")
def demo(serve: bool) -> None:
    """A semester in miniature: release a lab, let eight students hand in, grade, give feedback."""
    course = load_course()
    target = instance("demo")
    rows = run_semester(course, course.labs[0], target, lambda text: console.print(f"[dim]{text}[/dim]"))
    screen = Console(highlight=False)
    (screen if screen.is_terminal else Console(highlight=False, width=130)).print(_table(rows))
    click.echo(f"feedback pages  {target.feedback}")
    click.echo(f"gradebook       {target.gradebook}")
    click.echo(f"summary         {target.root / 'summary.json'}")
    wrong = [row for row in rows if row.score != row.expected]
    if wrong:
        shown = "; ".join(
            f"{row.student} {row.notebook}: {row.score:g}, earned {row.expected:g}" for row in wrong
        )
        raise QualityError(f"{len(wrong)} scores are not what was earned: {shown}")
    if serve:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "hub_config.local", "--demo"])


def _table(rows: list[Row]) -> Table:
    table = Table("student", "notebook", "score", "earned", "outcome", "reason", "CPU s")
    for row in rows:
        score = f"{row.score:g}/{row.max:g}"
        reason = row.reason if len(row.reason) <= 80 else f"{row.reason[:77]}..."
        cells = (row.student, row.notebook.split("-")[0], score, f"{row.expected:g}", row.outcome, reason)
        table.add_row(*cells, f"{row.seconds:.0f}")
    return table
