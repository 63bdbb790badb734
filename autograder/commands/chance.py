"""`course chance`"""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.commands.screen import progress
from autograder.course import load_course
from autograder.errors import QualityError
from autograder.quality.chance import Chance, chances


@click.command()
@click.argument("labs", nargs=-1)
@click.option("--notebook", default="", help="Only notebooks whose id starts with this.")
@click.option(
    "--seconds", type=click.FloatRange(0), default=5, show_default=True, help="For each grade cell."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def chance(labs: tuple[str, ...], notebook: str, seconds: float, as_json: bool) -> None:
    """Try hidden inputs of many hand-ins on the reference of LABS, and show checks that a right solution fails.

    Exit status 1 when there is one.
    """
    chosen = [
        lab.source / f"{name}.py"
        for lab in load_course().select(labs)
        for name in lab.notebooks
        if name.startswith(notebook)
    ]
    found: list[Chance] = []
    with progress() as bar:
        task = bar.add_task("drawing", total=len(chosen))
        for source in chosen:
            bar.update(task, description=source.stem)
            found += chances(source, seconds)
            bar.advance(task)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
    else:
        Console(highlight=False).print(_table(found))
    bad = [one for one in found if one.failed]
    if bad:
        raise QualityError(f"a right solution can fail {', '.join(one.grade_id for one in bad)}")


def _table(found: list[Chance]) -> Table:
    table = Table("notebook", "check", "draws", "failed", "rate at most", "what failed")
    for one in found:
        what = escape("; ".join(one.failed))
        count = sum(one.failed.values())
        table.add_row(one.notebook, one.grade_id, str(one.draws), str(count), f"{one.at_most:.1%}", what)
    return table
