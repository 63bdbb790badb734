"""`course`: build, release, grade, verify and show the course from the command line."""

from __future__ import annotations

import importlib
import sys

import click

from autograder.errors import CourseError

COMMANDS = {
    "build": "build",
    "release": "release",
    "calendar": "calendar",
    "deadlines": "deadlines",
    "extend": "deadlines",
    "collect": "collect",
    "grade": "grade",
    "regrade": "regrade",
    "audit": "regrade",
    "feedback": "feedback",
    "requests": "requests",
    "late": "late",
    "export": "export",
    "statistics": "statistics",
    "similar": "similar",
    "roster": "roster",
    "student": "student",
    "verify": "verify",
    "calibrate": "calibrate",
    "chance": "chance",
    "mutate": "mutate",
    "demo": "demo",
    "bench": "bench",
    "certificates": "certificates",
    "capstone": "capstone",
    "leaderboard": "capstone",
    "results": "results",
    "semester": "semester",
    "backup": "backup",
    "restore": "backup",
}
"""Each command with the module of `autograder.commands` that holds it."""


class Commands(click.Group):
    """The commands, each imported when it is asked for: all of them together take seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"autograder.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def course() -> None:
    """Build the labs, grade hand-ins, give feedback, and prove that the tests test."""


def main() -> None:
    """Run a command; a CourseError becomes one clear message and exit status 1."""
    try:
        course(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CourseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
