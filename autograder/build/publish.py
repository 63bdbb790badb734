"""Release built labs to students: plan, refuse, publish, record.

The record is written before the folder takes its place and marked as published after it, and the
folder takes its place by rename, so the same command finishes what a killed one began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from autograder.build.changes import Content, changes, check_release, content_of, superseded
from autograder.build.generate import set_due
from autograder.build.outbound import destination, publish_folder, published, put_right
from autograder.build.prove import prove_release
from autograder.build.released import Release, read_releases, write_releases
from autograder.bundle import read_bundle
from autograder.course import Course, Instance, Lab
from autograder.errors import ConfigurationError, CourseError


@dataclass(frozen=True)
class Plan:
    """What releasing one lab would do. `changed` is empty unless it is an erratum; `due` has a time zone."""

    lab: Lab
    due: datetime
    state: str
    changed: dict[str, list[str]]
    content: Content
    version: str
    destination: Path

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "lab": self.lab.id,
            "week": self.lab.week,
            "due": self.due.isoformat(),
            "state": self.state,
            "changed": self.changed,
            "notebooks": len(self.lab.notebooks),
            "destination": str(self.destination),
        }


def only_new(plans: Sequence[Plan]) -> list[Plan]:
    """The plans that a schedule may carry out by itself: what students have is never replaced without an erratum."""
    return [plan for plan in plans if plan.state == "new"]


def labs_of_week(course: Course, week: int) -> list[Lab]:
    """The labs of one week. Raises ConfigurationError listing the weeks."""
    labs = [lab for lab in course.labs if lab.week == week]
    if not labs:
        weeks = ", ".join(str(known) for known in sorted({lab.week for lab in course.labs}))
        raise ConfigurationError(f"no lab of course.toml is in week {week}; the weeks are: {weeks}")
    return labs


def plan_releases(labs: Sequence[Lab], course: Course, instance: Instance) -> list[Plan]:
    """What a release of these labs would do; changes nothing.

    Raises ConfigurationError when a lab was not built, BuildError when its release is not what was
    built or shows what students must not see.
    """
    releases = read_releases(instance)
    return [_plan(lab, course, instance, releases.get(lab.id, [])) for lab in labs]


def plan_each(
    labs: Sequence[Lab], course: Course, instance: Instance
) -> tuple[list[Plan], dict[str, CourseError]]:
    """The same, for a schedule: one lab that cannot be released does not hold up the others. Returns why it cannot."""
    plans: list[Plan] = []
    refused: dict[str, CourseError] = {}
    for lab in labs:
        try:
            plans += plan_releases([lab], course, instance)
        except CourseError as error:
            refused[lab.id] = error
    return plans, refused


def _plan(lab: Lab, course: Course, instance: Instance, earlier: list[Release]) -> Plan:
    bundle = read_bundle(instance.bundle(lab.id))
    release = instance.release / lab.id
    check_release(bundle, release)
    prove_release(lab, bundle, release)
    content = content_of(release)
    folder = published(instance, lab.id)
    out = [item for item in earlier if item.published]
    state, changed = "new", {}
    if folder is not None:
        changed = changes(content_of(folder), content)
        state = "erratum" if changed else "unchanged"
    elif out:  # it was withdrawn by hand; students may have it all the same
        changed = changes(out[-1].content, content)
        state = "erratum" if changed else "new"
    return Plan(lab, course.due(lab), state, changed, content, bundle.version, destination(instance, lab.id))


def require_erratum(plans: Sequence[Plan], erratum: str | None) -> None:
    """Raise ConfigurationError unless a text for students is there where, and only where, one is needed."""
    if erratum is not None and (len(erratum.strip().splitlines()) != 1 or "<!--" in erratum):
        raise ConfigurationError("--erratum takes one line of text for students")
    corrected = [plan.lab.id for plan in plans if plan.state == "erratum"]
    if corrected and erratum is None:
        raise ConfigurationError(
            f"{', '.join(corrected)} differs from what students have. If the change is meant, tell them what was "
            'wrong: --erratum "one line of text". If not, put the source back and build again'
        )
    fresh = [plan.lab.id for plan in plans if plan.state == "new"]
    if fresh and erratum is not None:
        raise ConfigurationError(
            f"{', '.join(fresh)} is not published, so there is nothing to correct: release it without --erratum"
        )


def release_labs(plans: Sequence[Plan], course: Course, instance: Instance, erratum: str | None) -> None:
    """Publish planned labs and record it; one that is unchanged stays as it is.

    Call it with the lock of `released.releasing` held since before the plan. Raises CourseError
    when nbgrader cannot publish; labs before that one are out, and the same command does the rest.
    """
    put_right(instance)
    for plan in plans:
        releases = read_releases(instance)
        earlier = releases.get(plan.lab.id, [])
        before = _put_right_record(earlier, published(instance, plan.lab.id), plan.lab.week)
        if plan.state == "unchanged":
            if before != earlier:
                write_releases(instance, {**releases, plan.lab.id: before})
            continue
        time = datetime.now(UTC).isoformat(timespec="seconds")
        text = (erratum or "").strip()
        entry = Release(plan.version, time, plan.lab.week, text, plan.changed, plan.content)
        write_releases(instance, {**releases, plan.lab.id: [*before, entry]})
        try:
            publish_folder(
                instance, plan.lab.id, plan.content, errata_text(plan.lab.id, [*before, entry], course)
            )
        except CourseError:
            true = _put_right_record([*before, entry], published(instance, plan.lab.id), plan.lab.week)
            write_releases(instance, {**releases, plan.lab.id: true})
            raise
        write_releases(instance, {**releases, plan.lab.id: [*before, replace(entry, published=True)]})
        set_due(instance, plan.lab, course)


def _put_right_record(earlier: list[Release], folder: Path | None, week: int) -> list[Release]:
    """The record as the published folder proves it.

    A release that was killed is in it when its folder had taken its place; one that was made by
    nbgrader's own command, or changed since, is added without a version.
    """
    content = content_of(folder) if folder else None
    known = [replace(item, published=True) for item in earlier if item.published or item.content == content]
    if folder is None or content is None or (known and known[-1].content == content):
        return known
    when = datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return [*known, Release("", when, week, "", {}, content, published=True)]


def errata_text(lab_id: str, releases: Sequence[Release], course: Course) -> str:
    """ERRATA.md for students: newest first, in the course's time zone. Empty without an erratum."""
    parts = []
    for item in reversed(releases):
        if item.erratum:
            when = datetime.fromisoformat(item.time).astimezone(course.time_zone)
            what = "\n".join(f"- {name}: {', '.join(cells)}" for name, cells in item.changed.items())
            parts.append(
                f"## {when:%Y-%m-%d %H:%M} ({course.time_zone})\n\n{item.erratum}\n\nChanged:\n\n{what}\n"
            )
    if not parts:
        return ""
    marks = " ".join(superseded([item.content for item in releases], releases[-1].content))
    return (
        f"# Errata of {lab_id}\n\n"
        f"`python -m labkit.update {lab_id}` brings these changes into your copy; what you wrote stays.\n\n"
        + "\n".join(parts)
        + f"\n<!-- cells of earlier releases: {marks} -->\n"
    )
