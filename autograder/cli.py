"""`course`: build, release, grade, verify and show the course from the command line."""

from __future__ import annotations

import sys

import click

from autograder.commands import (
    backup,
    bench,
    build,
    calibrate,
    capstone,
    certificates,
    collect,
    demo,
    feedback,
    grade,
    mutate,
    regrade,
    release,
    results,
    verify,
)
from autograder.errors import CourseError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def course() -> None:
    """Build the labs, grade hand-ins, give feedback, and prove that the tests test."""


for command in (
    build.build,
    release.release,
    collect.collect,
    grade.grade,
    regrade.regrade,
    regrade.audit,
    feedback.feedback,
    verify.verify,
    calibrate.calibrate,
    mutate.mutate,
    demo.demo,
    bench.bench,
    certificates.certificates,
    capstone.capstone,
    capstone.leaderboard,
    results.results,
    backup.backup,
    backup.restore,
):
    course.add_command(command)


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
