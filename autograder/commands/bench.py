"""`course bench`"""

from __future__ import annotations

import json
import subprocess
import sys

import click
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Column, Table

from autograder.commands.screen import console, progress
from autograder.course import ROOT, load_course
from autograder.errors import QualityError
from autograder.quality.bench_grade import NOTEBOOKS, GradeBench, bench_grade, chosen_notebooks
from autograder.quality.bench_scale import Advance, ScaleBench, bench_scale

STUDENTS, LABS = 300, 12
"""Of the class that a rate is extrapolated to."""
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def bench() -> None:
    """Measure a claim in one run, on this machine."""


@bench.command()
@click.option(
    "--notebook",
    "notebooks",
    multiple=True,
    default=NOTEBOOKS,
    show_default=True,
    metavar="LAB:NOTEBOOK",
    help="Notebook to hand in, by the start of its id; may be given several times.",
)
@click.option(
    "--submissions",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    help="Number of hand-ins, dealt out over the notebooks.",
)
@JSON
def grade(notebooks: tuple[str, ...], submissions: int, as_json: bool) -> None:
    """The grader beside plain nbgrader, on the same hand-ins.

    With 40 hand-ins this takes more than an hour on two cores. Leave the machine alone meanwhile.
    """
    course = load_course()
    chosen = chosen_notebooks(course, notebooks)
    with progress() as bar:
        task = bar.add_task("starting", total=None)

        def say(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)
            if not console.is_terminal:
                console.print(f"{done + 1} of {total}: {what}", markup=False, soft_wrap=True)

        result = bench_grade(course, chosen, submissions, say)
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console(highlight=False).print(_grade_table(result))


def _grade_table(result: GradeBench) -> Table:
    table = Table(
        Column("measured", overflow="fold"), "", title=f"{result.submissions} hand-ins; {result.machine}"
    )
    rows = {
        "plain nbgrader with one thread takes": f"{result.throughput_ratio} times as long",
        "the limit of that ratio on two cores": f"{result.limit_ratio}",
        "plain nbgrader, threads not limited": f"{result.throughput_ratio_unpinned} times as long",
        "CPU of the hand-in's own cells, a notebook": f"{result.mean_own_cpu_seconds} s",
        "CPU of judge and kernel beyond that": f"{result.overhead_cpu_seconds_per_notebook} s",
        "CPU of everything beyond that": f"{result.total_overhead_cpu_seconds_per_notebook} s",
        "one worker takes": f"{result.scaling_1_to_2} times as long as two",
        "memory of a worker and all below it": f"{result.peak_worker_mb:.0f} MiB",
        "engine, a job": f"{result.engine_ms_per_job} ms",
        "the first run takes": f"{result.rerun_ratio} times as long as a rerun",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    for name, means in result.notebooks.items():
        table.add_row(f"CPU of {name}", f"{means['own']} s and {means['overhead']} s beyond", style="dim")
    for name, seconds in result.seconds.items():
        table.add_row(f"wall time, {name.replace('_', ' ')}", f"{seconds} s", style="dim")
    return table


@bench.command()
@click.option("--students", type=click.IntRange(1), default=STUDENTS, show_default=True)
@click.option(
    "--notebooks",
    type=click.IntRange(1, LABS * 4),
    default=LABS * 4,
    show_default=True,
    help="Notebooks of each student.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0.0),
    default=0.001,
    show_default=True,
    help="Seconds slept for each second that the notebook took.",
)
@click.option("--workers", type=click.IntRange(2), default=2, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=5, show_default=True, help="Workers to kill.")
@click.option(
    "--written",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Hand-ins that the writer stores.",
)
@click.option("--lab", default="Lab-3.9", show_default=True, help="Lab of the hand-ins that are stored.")
@JSON
def scale(
    students: int,
    notebooks: int,
    scale: float,
    workers: int,
    kills: int,
    written: int,
    lab: str,
    as_json: bool,
) -> None:
    """A semester through the real engine, with sleep in the place of judging, while workers are killed."""
    course = load_course()
    with progress() as bar:
        sent, stored = (bar.add_task(what, total=None) for what in ("jobs", "hand-ins stored"))
        result = bench_scale(
            course,
            course.lab(lab),
            students=students,
            notebooks=notebooks,
            scale=scale,
            workers=workers,
            kills=kills,
            written=written,
            engine_advance=_advance(bar, sent),
            writer_advance=_advance(bar, stored),
        )
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        Console(highlight=False).print(_scale_table(result))


def _advance(bar: Progress, task: TaskID) -> Advance:
    return lambda done, total: bar.update(task, completed=done, total=total)


def _scale_table(result: ScaleBench) -> Table:
    engine, handins = result.engine, STUDENTS * LABS
    table = Table("measured", "", title=result.machine)
    rows = {
        "jobs": f"{engine.jobs}",
        "results": f"{engine.results}",
        "given up, lost, doubled": f"{engine.faults}, {engine.lost}, {engine.doubled}",
        "workers killed": f"{engine.killed}",
        "wall time": f"{engine.seconds} s",
        "engine beyond the sleep, a job": f"{engine.engine_ms_per_job} ms",
        "memory of client and scheduler": f"{engine.client_mb:.0f} MiB, {engine.client_mb_before:.0f} before",
        f"writer, {result.written} hand-ins of {result.lab}": f"{result.writer_handins_per_second} a second",
        f"extrapolated from that, not measured: {STUDENTS} x {LABS} hand-ins": (
            f"{60 * result.hours_for(handins):.0f} minutes"
        ),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


@bench.command()
@click.option("--students", type=click.IntRange(1, 500), default=30, show_default=True)
@JSON
def hub(students: int, as_json: bool) -> None:
    """The minute before a deadline: students at once log in, start a server, fetch, hand in, read feedback.

    Needs root, for an account a student, and about 200 MiB of memory for each.
    """
    # a process of its own: the course is not built on a deployment, but a deployment on the course
    command = [sys.executable, "-m", "hub_config.load", "--students", str(students)]
    done = subprocess.run([*command, *(["--json"] if as_json else [])], cwd=ROOT)
    if done.returncode != 0:
        raise QualityError("the load test did not come to an end; what it said is above")
