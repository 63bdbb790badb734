"""A few plots with good defaults: units on the axes, readable in grey, on paper and on a telephone.

Every function returns a figure and takes ``alt``, one or two sentences that say what the picture shows. End a
cell with the figure, or call ``show``: the notebook holds a PNG whose alternative text is ``alt``, which a
screen reader reads.
Series differ by line style and marker as well as by shade. Nothing here calls ``pyplot``: no window opens,
and no figure stays in memory.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from torch import Tensor

WIDTH, HEIGHT = 5.2, 3.4
DOTS_PER_INCH = 120
SHADES = ("#0b3c5d", "#d55e00", "#6f9f3c", "#7b4f9d", "#444444", "#c9a227")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")


class DescribedFigure(Figure):
    """A matplotlib figure that carries its alternative text into the notebook."""

    alt: str = ""

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=DOTS_PER_INCH)
        encoded = base64.b64encode(stream.getvalue()).decode()
        text = html.escape(self.alt, quote=True)
        image = f'<img alt="{text}" style="max-width:100%;height:auto" src="data:image/png;base64,{encoded}">'
        bundle = {"image/png": encoded, "text/html": image, "text/plain": self.alt}
        return bundle, {"image/png": {"alt": self.alt}}


def figure(title: str = "", *, alt: str, height: float = HEIGHT) -> tuple[DescribedFigure, Axes]:
    """Return an empty figure, 5.2 inches wide, with one pair of axes.

    Args:
        title: what the reader should see in it, as a sentence.
        alt: what the picture will show, for readers who can not see it.
        height: in inches.

    Raises:
        ValueError: ``alt`` is empty.
    """
    if not alt.strip():
        raise ValueError("a figure needs alternative text that says what it shows")
    made = DescribedFigure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(made)
    made.alt = alt
    axes = made.add_subplot()
    axes.set_title(title, fontsize=10, loc="left", wrap=True)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return made, axes


def show(figure: DescribedFigure) -> None:
    """Display the figure in a notebook; outside a notebook, print its alternative text."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(figure.alt)
        return
    bundle, metadata = figure._repr_mimebundle_()
    display(bundle, metadata=metadata, raw=True)


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    alt: str,
    log_y: bool = False,
) -> DescribedFigure:
    """Draw one line a series over the same x values.

    Args:
        x: places, for instance bits.
        series: a name and as many values as ``x``, each.
        x_label, y_label: with the unit in brackets, for instance "size (MB)".
        alt: alternative text.
        log_y: logarithmic y axis.

    Raises:
        ValueError: a series is not as long as ``x``.
    """
    made, axes = figure(alt=alt)
    for index, (name, values) in enumerate(series.items()):
        if len(values) != len(x):
            raise ValueError(f"series {name!r} has {len(values)} values for {len(x)} places")
        axes.plot(x, values, label=name, linewidth=1.8, markersize=5, **_style(index))
    _label(axes, x_label, y_label, legend=len(series) > 1)
    if log_y:
        axes.set_yscale("log")
    return made


def bars(
    values: Mapping[str, float], *, y_label: str, alt: str, limit: float | None = None
) -> DescribedFigure:
    """Draw one bar a name with its value on top, and a dashed line at ``limit`` if there is one.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not values:
        raise ValueError("no bars to draw")
    made, axes = figure(alt=alt)
    for index, (name, value) in enumerate(values.items()):
        drawn = axes.bar(
            name,
            value,
            color=SHADES[index % len(SHADES)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
        )
        axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    if limit is not None:
        axes.axhline(limit, color="black", linestyle="--", linewidth=1)
    _label(axes, "", y_label, legend=False)
    if len(values) > 4:
        axes.set_xticks(range(len(values)), list(values), rotation=30, ha="right", rotation_mode="anchor")
    return made


def histogram(
    series: Mapping[str, Tensor], *, x_label: str, alt: str, bins: int = 80, log_y: bool = True
) -> DescribedFigure:
    """Draw the distribution of each tensor's entries as an outline over common bins.

    Args:
        series: a name and a tensor of any shape, each.
        x_label: with the unit in brackets.
        alt: alternative text.
        bins: over the joint range.
        log_y: logarithmic counts, so that rare outliers show.
    """
    made, axes = figure(alt=alt)
    flat = {name: tensor.detach().flatten().float() for name, tensor in series.items()}
    low = min(float(tensor.min()) for tensor in flat.values())
    high = max(float(tensor.max()) for tensor in flat.values())
    for index, (name, tensor) in enumerate(flat.items()):
        axes.hist(
            tensor.numpy(),
            bins=bins,
            range=(low, high),
            histtype="step",
            label=name,
            linewidth=1.6,
            color=SHADES[index % len(SHADES)],
            linestyle=DASHES[index % len(DASHES)],
        )
    _label(axes, x_label, "entries", legend=len(series) > 1)
    if log_y:
        axes.set_yscale("log")
    return made


def trade_off(frame: pandas.DataFrame, *, alt: str = "") -> DescribedFigure:
    """Draw a table of ``evaluation.report``: quality over size, a named point a model.

    Without ``alt`` the text is made from the table itself.
    """
    metric = "accuracy" if "accuracy" in frame.columns else "perplexity"
    points = [(str(name), float(row["bytes"]) / 1e6, float(row[metric])) for name, row in frame.iterrows()]
    told = "; ".join(f"{name}: {size:.2f} MB, {metric} {value:.3f}" for name, size, value in points)
    made, axes = figure(alt=alt or f"{metric.capitalize()} over size. {told}.")
    for index, (name, size, value) in enumerate(points):
        style = _style(index)
        axes.plot(size, value, marker=style["marker"], color=style["color"], linestyle="none", label=name)
        axes.annotate(name, (size, value), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.margins(x=0.25, y=0.2)
    unit = "accuracy (share of rows)" if metric == "accuracy" else "perplexity (per token)"
    _label(axes, "size on disk (MB)", unit, legend=False)
    return made


def _style(index: int) -> dict[str, Any]:
    return {
        "color": SHADES[index % len(SHADES)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def _label(axes: Axes, x_label: str, y_label: str, *, legend: bool) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if legend:
        axes.legend(frameon=False, fontsize=8)
