"""The results page: what was promised, what our models show, as Markdown and as HTML."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from labkit import plots

PROFILES = {"tiny": "the course's own models", "small": "public weights that install with pip"}


@dataclass(frozen=True)
class Line:
    """A row as it is shown: text in every column, and what holds of the promise."""

    name: str
    technique: str
    model: str
    ratio: str
    speed: str
    kept: str
    holds: str
    note: str


def promised_text(promise: Mapping[str, Any]) -> str:
    """ "4 times smaller, 2 to 4 times faster, more than 98% kept"."""
    ratio, speed = (_span(*promise[key]) for key in ("ratio", "speed"))
    return f"{ratio} times smaller, {speed} times faster, more than {100 * promise['kept']:.0f}% kept"


def line(name: str, row: Mapping[str, Any], promise: Mapping[str, Any]) -> Line:
    """One measured row beside its promise."""
    speed = row["speed"]
    held = {
        "size": row["ratio"] >= promise["ratio"][0],
        "speed": bool(speed) and speed["value"] >= promise["speed"][0],
        "quality": row["kept"]["value"] >= promise["kept"],
    }
    kept = row["kept"]
    return Line(
        name,
        row["technique"],
        row["model"],
        f"{row['ratio']:.2f}",
        f"{speed['value']:.2f} ({speed['low']:.2f} to {speed['high']:.2f})" if speed else "not timed",
        f"{100 * kept['value']:.1f}% ({100 * kept['low']:.1f} to {100 * kept['high']:.1f}) "
        f"of {row['measure']}, {row['over']}",
        ", ".join(key for key, holds in held.items() if holds) or "nothing",
        row["note"],
    )


def markdown(measured: Mapping[str, Any]) -> str:
    """The page as Markdown: the promised table, then a table a profile."""
    parts = [HEAD, "| technique | promised |\n|---|---|"]
    parts += [f"| {name} | {promised_text(promise)} |" for name, promise in measured["promised"].items()]
    for profile, rows in _by_profile(measured).items():
        parts += [f"\n## Profile `{profile}`: {PROFILES[profile]}\n", TABLE_HEAD]
        parts += [
            f"| {row.technique}: {row.model} | {row.ratio} | {row.speed} | {row.kept} | {row.holds} | "
            f"`course results --row {row.name}` |"
            for row in rows
        ]
        notes = [f"- `{row.name}`: {row.note}." for row in rows if row.note]
        parts += ["", *notes] if notes else []
    return "\n".join(parts) + "\n"


HEAD = """# What was promised and what our models show

The status report that this course grew from promises a size, a speed and a quality for four techniques. Each row below
was measured by the command in its last column, on one thread of the machine it ran on: `course results` measures all of
them again and writes this page. Speed-ups are medians over five blocks of fifteen pairs of calls, with the smallest and
the largest block; they belong to the machine. "Holds" names the parts of the promise that the mean reaches.
"""
TABLE_HEAD = "| | times smaller | times faster | kept | holds | command |\n|---|---|---|---|---|---|"


def page(measured: Mapping[str, Any]) -> str:
    """The page as HTML, with the plot inside."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("results.html.j2")
    promised = {name: promised_text(promise) for name, promise in measured["promised"].items()}
    return template.render(
        promised=promised, profiles=_by_profile(measured), titles=PROFILES, plot=_plot(measured)
    )


def _by_profile(measured: Mapping[str, Any]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for name, row in measured["rows"].items():
        promise = measured["promised"][row["technique"]]
        found.setdefault(row["profile"], []).append(line(name, row, promise))
    return found


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _plot(measured: Mapping[str, Any]) -> str:
    """Quality kept against times smaller, a marker a technique, as SVG text."""
    figure, axes = plots.figure(
        alt="Share of quality kept against times smaller, one point a row, with the least share promised as a line.",
        height=3.8,
    )
    for index, (technique, promise) in enumerate(measured["promised"].items()):
        rows = [row for row in measured["rows"].values() if row["technique"] == technique]
        shade, marker = plots.SHADES[index], plots.MARKERS[index]
        kept = [100 * row["kept"]["value"] for row in rows]
        axes.plot([row["ratio"] for row in rows], kept, marker, color=shade, label=technique)
        axes.plot(
            promise["ratio"], [100 * promise["kept"]] * 2, "_-", color=shade, linewidth=1, markersize=14
        )
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    axes.set_xlabel("times smaller (log scale)")
    axes.set_ylabel("quality kept (%)")
    axes.legend(fontsize=8, title="points: measured; bars: promised", title_fontsize=8)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
