"""`course calendar`"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.table import Table

from autograder.actions import note
from autograder.build.released import was_released
from autograder.commands.grade import INSTANCE, chosen_instance
from autograder.commands.screen import console
from autograder.course import load_course
from autograder.errors import ConfigurationError
from autograder.schedule import followed, schedule
from autograder.service.release_clock import SETTING, is_on


@click.command()
@click.argument("switch", type=click.Choice(["on", "off"]), required=False)
@INSTANCE
def calendar(switch: str | None, root: Path | None) -> None:
    """Show when each lab opens, and whether labs go out by themselves; switch that on or off.

    The course service of the Hub releases what is due. Without a Hub, a crontab with `course release --as-of now`
    does the same.
    """
    target = chosen_instance(root)
    if not target.root.is_dir():
        raise ConfigurationError(f"there is no instance at {target.root}: build a lab into it first")
    course = followed(load_course(), target)
    if switch is not None and (switch == "on") != is_on(target):
        target.set(SETTING, switch)
        note(target, f"switched the calendar {switch}")
    now = datetime.now(UTC)
    table = Table("lab", "opens", "due", "state")
    for opening in schedule(course):
        lab = opening.lab.id
        built = "" if target.bundle(lab).is_file() else ", not built: course build " + lab
        state = (
            "out" if was_released(target, lab) else ("open" if opening.opens <= now else "to come") + built
        )
        table.add_row(lab, f"{opening.opens:%a %Y-%m-%d %H:%M}", f"{opening.due:%a %Y-%m-%d %H:%M}", state)
    console.print(table)
    console.print(
        f"all times are {course.time_zone}; labs "
        + ("go out by themselves while the Hub runs" if is_on(target) else "wait for: course release LAB"),
        markup=False,
    )
