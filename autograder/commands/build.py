"""`course build`"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from autograder.build.builder import build_lab, copy_release, stale_files
from autograder.build.percent import LANGUAGES
from autograder.commands.screen import console, progress
from autograder.course import Course, Instance, Lab, instance, load_course
from autograder.errors import QualityError
from autograder.quality.verify import prove_scores


@click.command()
@click.argument("labs", nargs=-1)
@click.option(
    "--lang", "language", type=click.Choice(LANGUAGES), default=None, help="Language of the Markdown cells."
)
@click.option(
    "--check", is_flag=True, help="Change nothing; fail when release/ is not what the source builds now."
)
@click.option(
    "--execute/--no-execute",
    default=True,
    help="Also judge the reference (must earn all) and the release (nothing).",
)
def build(labs: tuple[str, ...], language: str | None, check: bool, execute: bool) -> None:
    """Build LABS (all when none is named) from source/ into release/, and prove the result."""
    course = load_course()
    chosen = course.select(labs)
    language = language or course.language
    if check:
        _check(course, chosen, language)
        return
    # the committed release is in the course's own language; another language is built beside it
    target = instance() if language == course.language else instance(language)
    with progress() as bar:
        for lab in bar.track(chosen, description="building"):
            bundle = build_lab(lab, course, target, language)
            if execute:
                problems = prove_scores(bundle, target)
                if problems:
                    raise QualityError(
                        f"{lab.id}: the built lab does not grade as it must:\n  " + "\n  ".join(problems)
                    )
            if language == course.language:
                copy_release(lab, target, lab.release)
    for lab in chosen:
        console.print(
            f"{lab.id}: release in {lab.release if language == course.language else target.release / lab.id}"
        )


def _check(course: Course, labs: list[Lab], language: str) -> None:
    """Build twice in temporary instances: both must give the same bytes, and the bytes of release/."""
    stale = []
    with tempfile.TemporaryDirectory(prefix="build") as folder, progress() as bar:
        for lab in bar.track(labs, description="checking"):
            twice = [Instance(Path(folder) / name) for name in ("first", "second")]
            for one in twice:
                build_lab(lab, course, one, language)
            if changed := stale_files(lab, twice[0], twice[1].release / lab.id):
                raise QualityError(f"{lab.id}: building twice gives different bytes in {', '.join(changed)}")
            stale += [f"{lab.id}/{name}" for name in stale_files(lab, twice[0], lab.release)]
    if stale:
        raise QualityError("release/ is stale, run 'course build' and commit it: " + ", ".join(stale))
    console.print("release/ is what the source builds")
