"""`course bench`"""

from __future__ import annotations

import json

import click

from autograder.commands.screen import console
from autograder.course import load_course
from autograder.quality.bench import bench_grade


@click.group()
def bench() -> None:
    """Measure a claim: each command prints a ratio against the alternative, in one run."""


@bench.command()
@click.option("--lab", default="", help="Lab; the first of course.toml by default.")
@click.option("--notebook", default="01", help="Notebook whose id starts with this.")
@click.option("--submissions", default=8, show_default=True, help="Number of hand-ins.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def grade(lab: str, notebook: str, submissions: int, as_json: bool) -> None:
    """The judge beside plain nbgrader, on the same hand-ins."""
    course = load_course()
    chosen = course.lab(lab) if lab else course.labs[0]
    result = bench_grade(
        course, chosen, notebook, submissions, lambda text: console.print(f"[dim]{text}[/dim]")
    )
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    click.echo(f"throughput against plain nbgrader   {result.throughput_ratio} times")
    click.echo(f"share of the ideal (cells only)     {result.limit_ratio}")
    click.echo(f"CPU beyond the cells, a notebook    {result.overhead_cpu_seconds_per_notebook} s")
    click.echo(f"{result.submissions} hand-ins of {chosen.id}, {notebook}; {result.machine}")
