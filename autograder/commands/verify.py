"""`course verify`"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from autograder.build.builder import build_lab
from autograder.commands.screen import console, progress
from autograder.course import Instance, load_course
from autograder.errors import QualityError
from autograder.quality.verify import NotebookReport, verify_notebook


@click.command()
@click.argument("labs", nargs=-1)
@click.option("--notebook", default="", help="Only notebooks whose id starts with this.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def verify(labs: tuple[str, ...], notebook: str, as_json: bool) -> None:
    """Prove LABS: reference 100, untouched 0, no leak, no warning, every mutant killed."""
    course = load_course()
    reports: list[NotebookReport] = []
    with tempfile.TemporaryDirectory(prefix="verify") as folder, progress() as bar:
        target = Instance(Path(folder) / "instance")
        for lab in course.select(labs):
            bundle = build_lab(lab, course, target, course.language)
            chosen = [master for master in bundle.notebooks if master.id.startswith(notebook)]
            for master in bar.track(chosen, description=f"verifying {lab.id}"):
                reports.append(verify_notebook(bundle, master, target))
    if as_json:
        click.echo(json.dumps([report.to_dict() for report in reports], indent=1))
    else:
        Console(highlight=False).print(_table(reports))
    problems = [
        f"{report.notebook}: {problem}" for report in reports for problem in report.problems + report.slow
    ]
    for problem in problems:
        console.print(problem, style="red", markup=False)
    if problems:
        raise QualityError(f"{len(problems)} proofs did not hold")


def _table(reports: list[NotebookReport]) -> Table:
    table = Table(
        "notebook", "points", "reference %", "untouched %", "leaks", "warnings", "CPU s", "mutants killed"
    )
    for report in reports:
        killed = f"{report.mutants.killed}/{report.mutants.total}"
        numbers = (report.points, report.reference, report.untouched, report.leaks, report.warnings)
        table.add_row(
            report.notebook, *(f"{number:g}" for number in numbers), f"{report.seconds:.1f}", killed
        )
    return table
