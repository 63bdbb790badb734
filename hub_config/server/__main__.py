"""`python -m hub_config.server`: secrets, check, install, backup, approve."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hub_config.errors import HubError
from hub_config.server.backups import remove_old, take_backup
from hub_config.server.check import UNSAFE, describe, weaknesses
from hub_config.server.configuration import fill
from hub_config.server.install import steps
from hub_config.server.membership import drop_unlisted
from hub_config.server.secret_files import MEANING, make_secrets
from hub_config.server.settings import read_settings, settings_file


@click.group()
def server() -> None:
    """Set up and look after the course's Hub on this machine; the settings are in hub.toml."""


@server.command()
def secrets() -> None:
    """Make the Hub's secrets where they are missing. They are never shown."""
    folder = Path(read_settings(settings_file()).paths.secrets)
    made = make_secrets(folder)
    for name, meaning in MEANING.items():
        click.echo(f"{'made' if name in made else 'kept'}  {folder / name}: {meaning}")


@server.command()
def check() -> None:
    """Name everything that keeps the Hub from starting."""
    from traitlets.config import Config

    os.umask(0o022)  # as the unit has it
    settings, c = read_settings(settings_file()), Config()
    fill(c, settings)
    found = list(weaknesses(settings, c))
    if found:
        click.echo(describe(found))
        sys.exit(UNSAFE)
    click.echo("Nothing unsafe was found.")


@server.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, change nothing.")
def install(dry_run: bool) -> None:
    """Make accounts, folders, databases, units. A second run does only what is missing."""
    if os.geteuid() != 0 and not dry_run:
        raise HubError("this makes accounts and units: run it as root")
    os.umask(0o022)
    for step in steps(read_settings(settings_file())):
        if step.done():
            click.echo(f"there     {step.title}")
        elif dry_run:
            click.echo(f"would do  {step.title}")
        else:
            click.echo(f"doing     {step.title}")
            step.do()


@server.command()
def backup() -> None:
    """Take a backup now and remove the oldest beyond backup.keep."""
    settings = read_settings(settings_file())
    take_backup(settings)
    for path in remove_old(Path(settings.backup.folder), settings.backup.keep):
        click.echo(f"removed {path}")
    click.echo(f"backups are in {settings.backup.folder}")


@server.command("drop-unlisted")
def drop_unlisted_people() -> None:
    """Take rights from people who are no longer in hub.toml. The Hub's unit does it before each start."""
    settings = read_settings(settings_file())
    for line in drop_unlisted(settings.databases.hub, settings.people):
        click.echo(line)


@server.command()
@click.argument("name")
@click.option("--discard", is_flag=True, help="Remove the sign-up, so that the person can sign up again.")
def approve(name: str, discard: bool) -> None:
    """Approve NAME's sign-up, also an instructor's (authenticator = "native")."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from hub_config.server.native import decide

    engine = create_engine(read_settings(settings_file()).databases.hub)
    try:
        with Session(engine) as database:
            if not decide(database, name, "discard" if discard else "approve"):
                raise HubError(f"{name} has not signed up")
    finally:
        engine.dispose()
    click.echo(f"{name}: {'discarded' if discard else 'approved'}")


if __name__ == "__main__":
    try:
        server(standalone_mode=False)
    except HubError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
