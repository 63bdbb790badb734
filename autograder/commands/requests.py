"""`course requests`"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from handin.errors import HandInError, Refused
from rich.markup import escape
from rich.table import Column, Table

from autograder.actions import note
from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import load_course
from autograder.handin import service, told


@click.group(invoke_without_command=True)
@click.option("--all", "every", is_flag=True, help="Also those that are answered.")
@INSTANCE
@click.pass_context
def requests(context: click.Context, every: bool, root: Path | None) -> None:
    """Show what students ask to be looked at again, the oldest first."""
    target = chosen_instance(root)
    context.obj = target
    if context.invoked_subcommand is not None:
        return
    try:
        found = service(target).asked()
    except HandInError as error:
        raise told(error, "the requests could not be fetched") from error
    zone = load_course().time_zone
    table = Table("number", "asked", "student", "lab", "attempt", Column("says", overflow="fold"))
    for one in found:
        if every or one["answered"] is None:
            asked = datetime.fromisoformat(one["asked"]).astimezone(zone)
            said = one["text"] + (f"\n-- {one['answer']}" if one["answer"] else "")
            # a student's text on a terminal: no escape sequences, and no markup of ours
            shown = "".join(character for character in said if character == "\n" or character.isprintable())
            row = [one["student"], one["lab"], str(one["number"]), escape(shown)]
            table.add_row(str(one["id"]), f"{asked:%Y-%m-%d %H:%M}", *row)
    console.print(table if table.row_count else "no request waits for an answer")


@requests.command()
@click.argument("number", type=int)
@click.argument("text")
@click.option("--replace", is_flag=True, help="In place of an answer that is there already.")
@click.pass_context
def answer(context: click.Context, number: int, text: str, replace: bool) -> None:
    """Answer request NUMBER with TEXT, which its student sees."""
    client = service(context.obj)
    try:
        about = {one["id"]: one for one in client.asked()}.get(number, {})
        client.answer(number, text, replace=replace)
    except HandInError as error:
        there = isinstance(error, Refused) and error.status == 409
        how = " (with --replace it takes the place of the other)" if there else ""
        raise told(error, f"request {number} was not answered{how}") from error
    note(context.obj, f"answered request {number}", student=about["student"], lab=about["lab"])
    console.print(f"request {number} is answered")
