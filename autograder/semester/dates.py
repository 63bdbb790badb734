"""Move every date of course.toml by whole weeks, in its text, so that comments and order stay."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from autograder.errors import ConfigurationError

STARTS = re.compile(r"^(starts *= *)(\d{4}-\d{2}-\d{2})", re.MULTILINE)
DUE = re.compile(r"^(due *= *)(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2})", re.MULTILINE)


def moved(text: str, starts: date) -> str:
    """The text of course.toml with week 1 beginning on `starts` and every deadline moved as far.

    Deadlines are local times, so they keep day of the week and hour whatever clocks do. Raises
    ConfigurationError when `starts` is no Monday or the text has none to move from.
    """
    if starts.weekday() != 0:
        raise ConfigurationError(f"{starts} is a {starts:%A}; week 1 begins on a Monday")
    found = STARTS.search(text)
    if found is None:
        raise ConfigurationError(
            "course.toml has no line `starts = 2027-03-01`, the Monday of week 1, to move from"
        )
    weeks: timedelta = starts - date.fromisoformat(found[2])
    text = STARTS.sub(rf"\g<1>{starts.isoformat()}", text, count=1)
    return DUE.sub(lambda line: f"{line[1]}{(datetime.fromisoformat(line[2]) + weeks).date()}{line[3]}", text)
