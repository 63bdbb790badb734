"""`course similar`"""

from __future__ import annotations

import difflib
import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from autograder.commands.grade import INSTANCE, chosen_instance, known_lab
from autograder.commands.screen import console, progress
from autograder.course import Instance
from autograder.report.similarity import Pair, own_code, similar_hand_ins

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #1c2230; }}
table.diff {{ font: 13px/1.4 monospace; border: 1px solid #d5d9e4; border-collapse: collapse; width: 100%; }}
.diff td {{ padding: 0 .4rem; white-space: pre-wrap; }} .diff_header {{ color: #58607a; text-align: right; }}
.diff_next {{ display: none; }} .diff_add, .diff_chg, .diff_sub {{ background: #fdeed8; }}
</style></head><body><h1>{title}</h1>
<p>Code that the course gave is left out. What is not marked is the same on both sides. Alike is not copied: look for
the same names, the same detours and the same mistakes.</p>
{body}</body></html>
"""


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
    """Show pairs of hand-ins of LAB that share much of their own code. A hint where to look, and no proof."""
    target = chosen_instance(root)
    lab_id = known_lab(target, lab)
    with progress() as bar:
        task = bar.add_task(f"comparing {lab_id}", total=None)
        pairs = similar_hand_ins(
            target, lab_id, at_least, lambda done, of: bar.update(task, completed=done, total=of)
        )
    if page is not None:
        page.write_text(_page(target, lab_id, pairs), "utf-8")
        console.print(f"{len(pairs)} pairs side by side: {page}", markup=False)
    if as_json:
        click.echo(json.dumps([asdict(pair) for pair in pairs]))
        return
    table = Table("notebook", "hand-ins", "shared", "tokens")
    for pair in pairs:
        table.add_row(pair.notebook, f"{pair.first}, {pair.second}", f"{pair.share:.0%}", str(pair.tokens))
    console.print(table if pairs else f"no two hand-ins of {lab_id} share {at_least:.0%} of their code")


def _page(instance: Instance, lab_id: str, pairs: Sequence[Pair]) -> str:
    parts = []
    for pair in pairs:
        one, two = (
            own_code(instance, lab_id, pair.notebook, who).splitlines() for who in (pair.first, pair.second)
        )
        heading = f"{pair.notebook}: {pair.first} and {pair.second}, {pair.share:.0%}"
        table = difflib.HtmlDiff(wrapcolumn=90).make_table(one, two, pair.first, pair.second)
        parts.append(f"<h2>{html.escape(heading)}</h2>\n{table}")
    return PAGE.format(title=html.escape(f"Alike hand-ins of {lab_id}"), body="\n".join(parts))
