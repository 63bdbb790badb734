"""Two students' own code of one notebook beside each other, as a table; what differs is marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

import jinja2

from autograder.course import Instance
from autograder.report.similarity import Pair, own_code

LINES = 2_000
"""Lines that are shown of each; comparing takes time with their square."""


@dataclass(frozen=True)
class Row:
    """One line of each side, empty where a side has none; `same` where both are equal."""

    left: str
    right: str
    same: bool


@dataclass(frozen=True)
class Sides:
    """Two texts beside each other; `cut` when one of them goes on after `LINES` lines."""

    rows: list[Row]
    cut: bool


def sides(left: str, right: str) -> Sides:
    """The lines of two texts beside each other, at most `LINES` of each."""
    one, two = left.splitlines(), right.splitlines()
    return Sides(list(_rows(one[:LINES], two[:LINES])), max(len(one), len(two)) > LINES)


def _rows(left: list[str], right: list[str]) -> Iterator[Row]:
    for kind, from_left, to_left, from_right, to_right in SequenceMatcher(None, left, right).get_opcodes():
        pairs = zip_longest(left[from_left:to_left], right[from_right:to_right], fillvalue="")
        for one, two in pairs:
            yield Row(one, two, kind == "equal")


def pair_rows(instance: Instance, lab_id: str, notebook: str, first: str, second: str) -> Sides:
    """The own code of two students, side by side. Raises OSError when one has no such notebook here."""
    return sides(own_code(instance, lab_id, notebook, first), own_code(instance, lab_id, notebook, second))


def page(instance: Instance, lab_id: str, pairs: list[Pair]) -> str:
    """A page of its own with every pair, to be read without the course service."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autograder.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shown = [(pair, pair_rows(instance, lab_id, pair.notebook, pair.first, pair.second)) for pair in pairs]
    return environment.get_template("similar.html.j2").render(lab=lab_id, pairs=shown, most=LINES)
