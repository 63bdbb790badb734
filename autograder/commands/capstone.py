"""`course capstone` and `course leaderboard`"""

from __future__ import annotations

import json
from pathlib import Path

import click
from labkit.capstone.artifact import ArtifactError

from autograder.capstone.leaderboard import collect, page
from autograder.capstone.measure import Examination, secret_seed
from autograder.commands.screen import console, progress
from autograder.configuration import prepare_instance
from autograder.course import Instance, instance
from autograder.errors import ConfigurationError, RefusedError

TERM = click.option(
    "--term", default="", help="Name of the term; another name moves the held-out pictures anew."
)


def seed_of(target: Instance, term: str) -> int:
    """The seed of a term in an instance, whose secret is made if there is none yet."""
    prepare_instance(target)
    return secret_seed(target.secret.read_text("utf-8"), term)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@TERM
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def capstone(folder: Path, term: str, as_json: bool) -> None:
    """Rebuild and measure the capstone hand-in in FOLDER."""
    try:
        result = Examination(seed_of(instance(), term)).measure(folder)
    except ArtifactError as refused:
        raise RefusedError(f"{folder} is refused: {refused}") from refused
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    click.echo(
        f"file            {result.size:,} bytes, {result.ratio:.2f} times smaller than {result.base_size:,}"
    )
    click.echo(
        f"accuracy        {result.accuracy:.4f}, {100 * result.kept:.1f}% of {result.base_accuracy:.4f}"
    )
    click.echo(f"public pictures {result.public_accuracy:.4f}, gap {result.gap:+.4f}")
    click.echo(
        f"score           {result.score:.3f}" if result.score else "score           none: below 90% kept"
    )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@TERM
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Page to write."
)
@click.option("--top", default=3, show_default=True, help="Entries that are measured a second time.")
def leaderboard(folder: Path, term: str, output: Path | None, top: int) -> None:
    """Measure the capstone hand-ins in the folders below FOLDER, one an account, and write the page."""
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    if not folders:
        raise ConfigurationError(
            f"{folder} has no folders: it needs one for each account, with two files in it"
        )
    target = instance()
    seed = seed_of(target, term)
    written = output or target.root / "leaderboard.html"
    with progress() as bar:
        task = bar.add_task("measuring", total=len(folders))
        entries = collect(
            folders,
            Examination(seed),
            seed,
            target.root / "leaderboard.json",
            top=top,
            step=lambda: bar.advance(task),
        )
    written.write_text(page(entries), "utf-8")
    for entry in entries:
        if entry.result is None:
            console.print(f"{entry.account}: refused: {entry.refused}", markup=False)
    click.echo(written)
