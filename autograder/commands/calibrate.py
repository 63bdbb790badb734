"""`course calibrate`"""

from __future__ import annotations

import click

from autograder.commands.screen import console
from autograder.course import ROOT, load_course
from autograder.quality import calibrate as calibration


@click.command()
@click.argument("lab")
@click.option(
    "--seeds", default=calibration.FEWEST_SEEDS, show_default=True, help="Fresh seeds to run, 10 or more."
)
def calibrate(lab: str, seeds: int) -> None:
    """Measure LAB's thresholds over fresh seeds and write its calibration.json."""
    chosen = load_course().lab(lab)
    with console.status(f"measuring {chosen.id} with {seeds} seeds"):
        calibration.calibrate(chosen.id, seeds)
    click.echo(
        f"{chosen.source / 'calibration.json'}; normality plots in {ROOT / 'build' / 'calibration' / chosen.id}"
    )
