"""`course similar`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.commands.screen import console, progress
from autograder.files import write_private
from autograder.report.side_by_side import page as side_by_side
from autograder.report.similarity import keep, similar_hand_ins


@click.command()
@click.argument("lab")
@click.option(
    "--at-least",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="Part of the shorter hand-in's own code that both share.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write pairs side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@INSTANCE
def similar(lab: str, at_least: float, page: Path | None, as_json: bool, root: Path | None) -> None:
    """Show pairs of hand-ins of LAB that share much of their own code. A hint where to look, and no proof.

    The pairs are kept for the staff's pages.
    """
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    with progress() as bar:
        task = bar.add_task(f"comparing {lab_id}", total=None)
        found = similar_hand_ins(
            target, lab_id, at_least, lambda done, of: bar.update(task, completed=done, total=of)
        )
    keep(target, lab_id, found)
    pairs = found.pairs
    for who in found.too_long:
        console.print(f"not compared, it has more code than anybody writes: {who}", markup=False)
    if page is not None:
        write_private(page, side_by_side(target, lab_id, pairs))
        console.print(f"{len(pairs)} pairs side by side: {page}", markup=False)
    if as_json:
        click.echo(json.dumps([asdict(pair) for pair in pairs]))
        return
    table = Table("notebook", "hand-ins", "shared", "tokens")
    for pair in pairs:
        table.add_row(pair.notebook, f"{pair.first}, {pair.second}", f"{pair.share:.0%}", str(pair.tokens))
    console.print(table if pairs else f"no two hand-ins of {lab_id} share {at_least:.0%} of their code")
