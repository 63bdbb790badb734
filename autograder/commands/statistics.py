"""`course statistics`"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from autograder.bundle import read_bundle
from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.errors import IntakeError
from autograder.report.statistics import LabStatistics, lab_statistics, read_verdicts
from autograder.report.statistics_page import page


@click.command()
@click.argument("lab")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Also write a page."
)
@INSTANCE
def statistics(lab: str, as_json: bool, html: Path | None, root: Path | None) -> None:
    """Say how hard each check of LAB was, and whether it tells strong from weak."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    bundle = read_bundle(target.bundle(lab_id))
    verdicts = read_verdicts(target, lab_id)
    if not verdicts:
        raise IntakeError(f"no hand-in of {lab_id} was graded yet: course grade {lab_id}")
    found = lab_statistics(bundle, verdicts)
    if html is not None:
        html.write_text(page(found), "utf-8")
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        Console(highlight=False).print(_table(found))


def _table(found: LabStatistics) -> Table:
    table = Table("notebook", "check", "points", "pass", "discrimination", "fails most at", "look at")
    for check in found.checks:
        value = "–" if check.discrimination is None else f"{check.discrimination:.2f}"
        most = next(iter(check.failed_at), "")
        table.add_row(
            check.notebook,
            check.grade_id,
            f"{check.points:g}",
            f"{check.difficulty:.0%}",
            value,
            most,
            check.remark,
        )
    return table
