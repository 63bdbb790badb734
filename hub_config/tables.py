"""Settings read from TOML into dataclasses, every mistake named with file, key and what to write."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hub_config.errors import HubError

NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
"""Names of accounts, in every list and from every login."""
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"({LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])")
OF_THE_CODE = "file"
"""A field of this name says where the settings were read from; no file can set it."""


@dataclass(frozen=True)
class Rule:
    """`fits` tells whether a value of the right type can be used, `text` what to write instead."""

    fits: Callable[[Any], bool]
    text: str


def pattern(expression: re.Pattern[str], text: str) -> Rule:
    """The rule that a text matches as a whole."""
    return Rule(lambda value: expression.fullmatch(value) is not None, text)


def fill(
    kind: type[Any], content: dict[str, Any], file: Path, rules: Mapping[str, Rule], table: str = ""
) -> Any:
    """An object of the dataclass `kind` from one table; `rules` go by full names. Raises HubError."""
    hints = get_type_hints(kind)
    fields = {one.name: one for one in dataclasses.fields(kind) if one.name != OF_THE_CODE}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(fields))}"
            raise HubError(f"{file}: the key {table}{key} is unknown{hint}")
        values[key] = _value(hints[key], value, file, rules, f"{table}{key}")
    for name, one in fields.items():
        missing = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if missing and name not in values:
            example = "[people] with instructors" if name == "people" else f"{table}{name}"
            raise HubError(f"{file}: {example} is missing; settings.toml.example shows how it is written")
    return kind(**values)


def _value(hint: Any, value: Any, file: Path, rules: Mapping[str, Rule], key: str) -> Any:
    # a table that may be left out is `Table | None`
    hint = next((one for one in get_args(hint) if dataclasses.is_dataclass(one)), hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise HubError(f"{file}: {key} must be a table: a line [{key}] with its keys below it")
        return fill(hint, value, file, rules, f"{key}.")
    if hint is float and type(value) is int:
        value = float(value)
    wanted = {
        str: "a text between quotes",
        int: "a whole number",
        float: "a number",
        list[str]: 'a list of names, like ["ada", "grace"]',
    }[hint]
    right = (
        isinstance(value, list) and all(isinstance(one, str) for one in value)
        if hint == list[str]
        else type(value) is hint
    )
    if not right:
        raise HubError(f"{file}: {key} must be {wanted}")
    rule = rules.get(key)
    for one in value if isinstance(value, list) else [value]:
        if rule is not None and not rule.fits(one):
            raise HubError(f"{file}: {key} cannot be {one!r}: {rule.text}")
    return value
