"""The results page says what holds and what does not, and its command keeps rows that were not measured."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from autograder.cli import course
from autograder.errors import ConfigurationError
from autograder.report.results import line, markdown, page, promised_text
from reference_impl.results.row import Row, Spread

PROMISE = {"ratio": (4, 4), "speed": (2, 4), "kept": 0.98}


def row(**changed: Any) -> dict[str, Any]:
    """A row that keeps its promise."""
    spread = {"value": 0.99, "low": 0.98, "high": 1.0}
    return {
        "technique": "INT8 quantization",
        "model": "BERT",
        "measure": "accuracy",
        "ratio": 4.0,
        "speed": {"value": 2.5, "low": 2.0, "high": 3.0},
        "kept": spread,
        "over": "three seeds",
        "note": "",
        "profile": "tiny",
    } | changed


def measured(*rows: dict[str, Any]) -> dict[str, Any]:
    """A page's content."""
    return {
        "promised": {"INT8 quantization": PROMISE},
        "rows": {f"row-{number}": made for number, made in enumerate(rows)},
    }


def test_the_promise_is_one_sentence() -> None:
    assert promised_text(PROMISE) == "4 times smaller, 2 to 4 times faster, more than 98% kept"


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, "size, speed, quality"),
        ({"ratio": 3.99}, "speed, quality"),
        ({"speed": {"value": 1.9, "low": 1.0, "high": 9.0}}, "size, quality"),
        ({"speed": None}, "size, quality"),
        ({"kept": {"value": 0.979, "low": 0.9, "high": 1.0}, "ratio": 1.0, "speed": None}, "nothing"),
    ],
)
def test_a_row_says_what_holds(changed: dict[str, Any], holds: str) -> None:
    assert line("one", row(**changed), PROMISE).holds == holds


def test_both_pages_show_every_row_with_its_command() -> None:
    content = measured(row(), row(model="<b>MiniLM</b>", profile="small", speed=None, note="a note"))
    text, html = markdown(content), page(content)
    for shown in (text, html):
        assert "course results --row row-0" in shown and "course results --row row-1" in shown
        assert "not timed" in shown and "a note" in shown and "99.0% (98.0 to 100.0)" in shown
    assert "<svg" in html and "<b>MiniLM</b>" not in html


def test_rows_that_are_not_measured_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Row("INT8 quantization", "BERT", "accuracy", 4.0, None, Spread(1.0, 1.0, 1.0), "three seeds")
    for profile, names in (("tiny", ("one", "two")), ("small", ("three",))):
        module = importlib.import_module(f"reference_impl.results.{profile}")
        monkeypatch.setattr(module, "ROWS", {name: lambda: made for name in names})
    for arguments in (["--row", "two"], ["--profile", "small"]):
        CliRunner().invoke(course, ["results", "--output", str(tmp_path), *arguments], catch_exceptions=False)
    assert list(json.loads((tmp_path / "results.json").read_text())["rows"]) == ["two", "three"]
    assert "course results --row three" in (tmp_path / "results.md").read_text()
    with pytest.raises(ConfigurationError, match="no row is called four; there are one, two, three"):
        CliRunner().invoke(
            course, ["results", "--output", str(tmp_path), "--row", "four"], catch_exceptions=False
        )
