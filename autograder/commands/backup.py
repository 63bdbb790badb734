"""`course backup` and `course restore`"""

from __future__ import annotations

from pathlib import Path

import click

from autograder.backup import back_up
from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.restore import Restore

FOLDER = click.Path(path_type=Path)
HUB = click.option("--hub-database", "hub_url", default="", metavar="URL", help="The Hub's database too.")


def _say(text: str) -> None:
    console.print(text, style="dim", markup=False)


@click.command()
@click.argument("target", type=FOLDER)
@HUB
@click.option("--handin", type=FOLDER, default=None, help="The folder of the hand-in service too.")
@INSTANCE
def backup(target: Path, hub_url: str, handin: Path | None, root: Path | None) -> None:
    """Write everything of an instance into a new folder below TARGET."""
    folder = back_up(
        chosen_instance(root, for_root=True),
        target.resolve(),
        hub_url,
        handin.resolve() if handin else None,
        _say,
    )
    size = sum(file.stat().st_size for file in folder.iterdir())
    click.echo(
        f"{folder}  {size / 1e6:.1f} MB; it holds secret.key and every grade: keep it as safe as the course"
    )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--instance", "root", type=FOLDER, required=True, help="The instance's new folder.")
@click.option("--gradebook-url", default="", metavar="URL", help="Another database than the backup's.")
@click.option("--exchange", type=FOLDER, default=None, help="Another folder than the backup's exchange.")
@HUB
@click.option("--handin", type=FOLDER, default=None, help="The hand-in service's new folder.")
@click.option("--replace", is_flag=True, help="Rename what is in the way, replace tables in PostgreSQL.")
def restore(
    folder: Path,
    root: Path,
    gradebook_url: str,
    exchange: Path | None,
    hub_url: str,
    handin: Path | None,
    replace: bool,
) -> None:
    """Bring the backup FOLDER back. Stop the Hub and every grader first."""
    settings = {"gradebook": gradebook_url, "exchange": str(exchange.resolve()) if exchange else ""}
    chosen = {name: value for name, value in settings.items() if value}
    task = Restore(
        folder.resolve(),
        root.resolve(),
        chosen,
        hub_url,
        handin.resolve() if handin else None,
        replace=replace,
    )
    task.run(_say)
    counts = ", ".join(f"{lab}: {number}" for lab, number in task.manifest.submissions.items())
    click.echo(f"{root}  restored as of {task.manifest.created}; hand-ins: {counts}")
    if task.manifest.hub is not None and not hub_url:
        click.echo("The backup also holds the Hub's database; name --hub-database URL to restore that")
    if task.manifest.handin is not None and handin is None:
        click.echo("The backup also holds the hand-ins of the service; name --handin FOLDER to restore them")
