"""`course results`"""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from autograder.commands.screen import progress
from autograder.course import ROOT
from autograder.errors import ConfigurationError
from autograder.report.results import line, markdown, page
from labkit import runtime, zoo

PROFILES = ("tiny", "small")


@click.command()
@click.option("--row", "chosen", multiple=True, help="Measure only this row (several times if you like).")
@click.option("--profile", type=click.Choice(PROFILES), default=None, help="Measure only this profile.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "docs",
    help="Folder of results.json, results.md and results.html.",
)
def results(chosen: tuple[str, ...], profile: str | None, output: Path) -> None:
    """Measure what the course promises, row by row, and write the results page.

    Rows that are not measured this time are taken from results.json in the folder.
    """
    makers = {
        name: (each, make)
        for each in PROFILES
        for name, make in importlib.import_module(f"reference_impl.results.{each}").ROWS.items()
    }
    unknown = [name for name in chosen if name not in makers]
    if unknown:
        raise ConfigurationError(f"no row is called {', '.join(unknown)}; there are {', '.join(makers)}")
    wanted = [
        name
        for name, (each, _) in makers.items()
        if (not chosen or name in chosen) and profile in (None, each)
    ]
    promised = {
        name: asdict(promise)
        for name, promise in importlib.import_module("reference_impl.results.row").PROMISED.items()
    }
    stored = output / "results.json"
    known: dict[str, Any] = json.loads(stored.read_text("utf-8"))["rows"] if stored.is_file() else {}
    missing = []
    runtime.start(seed=0)
    with progress() as bar:
        task = bar.add_task("measuring", total=len(wanted))
        for name in wanted:
            each, make = makers[name]
            bar.update(task, description=f"measuring {name}")
            try:
                known[name] = asdict(make()) | {"profile": each}
            except zoo.Unavailable as reason:
                missing.append(f"{name}: {reason}")
            bar.advance(task)
    measured = {"promised": promised, "rows": {name: known[name] for name in makers if name in known}}
    output.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    (output / "results.md").write_text(markdown(measured), "utf-8")
    (output / "results.html").write_text(page(measured), "utf-8")
    for name in wanted:
        if name in known:
            shown = line(name, known[name], promised[known[name]["technique"]])
            click.echo(
                f"{name}: {shown.ratio} times smaller, faster: {shown.speed}, kept {shown.kept}; holds: {shown.holds}"
            )
    click.echo(output / "results.html")
    if missing:
        raise ConfigurationError(
            "not measured, the page has their earlier values if there are any:\n" + "\n".join(missing)
        )
