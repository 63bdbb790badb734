"""`course mutate`"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from autograder.build.builder import build_lab
from autograder.commands.screen import console
from autograder.course import Instance, load_course
from autograder.quality.mutants import read_mutants
from autograder.quality.second_opinion import second_opinion


@click.command()
@click.argument("lab")
@click.option("--notebook", default="", help="Only notebooks whose id starts with this.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of text.")
def mutate(lab: str, notebook: str, as_json: bool) -> None:
    """Judge wrong solutions of LAB that a general mutation tool makes, and show those that survive.

    A survivor is a change that no check sees, or one that changes nothing.
    """
    course = load_course()
    chosen = course.lab(lab)
    with tempfile.TemporaryDirectory(prefix="mutate") as folder:
        bundle = build_lab(chosen, course, Instance(Path(folder) / "instance"), course.language)
        opinions = [
            second_opinion(
                master, read_mutants(chosen.id, master.id), lambda text: console.print(f"[dim]{text}[/dim]")
            )
            for master in bundle.notebooks
            if master.id.startswith(notebook)
        ]
    if as_json:
        click.echo(json.dumps([asdict(opinion) for opinion in opinions], indent=1))
        return
    for opinion in opinions:
        click.echo(f"{opinion.notebook}: {opinion.killed} of {opinion.total} killed")
        for survivor in opinion.survivors:
            click.echo("    " + survivor.replace("\n", "\n    ") + "\n")
