"""The statistics of a lab as one HTML page with SVG plots, readable without JavaScript."""

from __future__ import annotations

import io
import itertools

import jinja2
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autograder.report.statistics import LabStatistics
from labkit import plots

BINS = 10


def page(found: LabStatistics, back: str = "") -> str:
    """The page. Every plot has a sentence that says what it shows; `back` is the address of the class, if any."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autograder.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("statistics.html.j2").render(
        found=found,
        back=back,
        mean=sum(found.totals) / len(found.totals) if found.totals else 0.0,
        distribution=_svg(_distribution(found)),
        difficulty=_svg(_difficulty(found)),
    )


def _distribution(found: LabStatistics) -> plots.DescribedFigure:
    edges = [found.maximum * step / BINS for step in range(BINS + 1)]
    counts = [sum(low <= total < high for total in found.totals) for low, high in itertools.pairwise(edges)]
    counts[-1] += sum(total == found.maximum for total in found.totals)
    said = ", ".join(
        f"{count} up to {high:g}" for count, high in zip(counts, edges[1:], strict=True) if count
    )
    drawn, axes = plots.figure(
        "How the points are spread", alt=f"Histogram of points: {said or 'no hand-in'}."
    )
    axes.bar(edges[:-1], counts, width=found.maximum / BINS * 0.9, align="edge", color=plots.SHADES[0])
    axes.set(xlabel=f"automatic points of {found.maximum:g}", ylabel="hand-ins")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return drawn


def _difficulty(found: LabStatistics) -> plots.DescribedFigure:
    known = [check for check in found.checks if check.discrimination is not None]
    drawn, axes = plots.figure(
        "Which checks tell strong from weak",
        alt=f"Share that passes against discrimination, {len(known)} checks; the table has the numbers.",
    )
    axes.scatter(
        [check.difficulty for check in known],
        [check.discrimination or 0.0 for check in known],
        color=plots.SHADES[0],
    )
    axes.axhline(0, color=plots.SHADES[4], linewidth=0.8)
    axes.set(
        xlabel="share of hand-ins that pass", ylabel="discrimination", xlim=(-0.02, 1.02), ylim=(-1.05, 1.05)
    )
    return drawn


def _svg(drawn: Figure) -> str:
    """The figure as an SVG element, without the XML head that HTML does not take."""
    stream = io.StringIO()
    drawn.savefig(stream, format="svg")
    text = stream.getvalue()
    alt = getattr(drawn, "alt", "")
    title = jinja2.filters.do_forceescape(alt)
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
