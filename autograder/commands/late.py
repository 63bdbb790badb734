"""`course late`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import load_course
from autograder.errors import ConfigurationError
from autograder.report.final import final_results
from autograder.schedule import followed


@click.command()
@click.option("--student", default=None, help="This student only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@INSTANCE
def late(student: str | None, as_json: bool, root: Path | None) -> None:
    """Show what lateness costs each student, and where their grace days went."""
    target = chosen_instance(root)
    course = followed(load_course(), target)
    results = final_results(target, course)
    if student is not None:
        if student not in results:
            raise ConfigurationError(f"the gradebook knows no student {student!r}")
        results = {student: results[student]}
    if as_json:
        click.echo(
            json.dumps({name: [asdict(one) for one in labs] for name, labs in results.items()}, indent=1)
        )
        return
    table = Table("student", "lab", "earned", "days late", "forgiven", "counts")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, labs in results.items():
        for one in (one for one in labs if one.days_late):
            row = [f"{one.earned:g}", str(one.days_late), str(one.forgiven), f"{one.counts:g}"]
            table.add_row(name, one.lab, *row)
        total = [f"{sum(one.earned for one in labs):g}", str(sum(one.days_late for one in labs))]
        used = f"{sum(one.forgiven for one in labs)} of {course.late.grace_days}"
        table.add_row(
            name, "all labs", *total, used, f"{sum(one.counts for one in labs):g}", end_section=True
        )
    console.print(table)
