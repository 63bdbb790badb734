"""Draw a textbook chapter's figures into `theory/figures/`, the same bytes in each run."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
from labkit.plots import DescribedFigure

from labkit import runtime

FOLDER = Path(__file__).resolve().parents[1] / "theory" / "figures"


def draw(chapter: str, figures: Mapping[str, Callable[[], DescribedFigure]], names: list[str]) -> None:
    """Draw the figures named, or all, each from the same seed: `<chapter>-<name>.svg`, after a line with its name."""
    matplotlib.rcParams.update({"svg.hashsalt": f"chapter {chapter}", "svg.fonttype": "none"})
    for name in names or list(figures):
        runtime.start(seed=0)
        print(f"-- {name}")
        figures[name]().savefig(FOLDER / f"{chapter}-{name}.svg", metadata={"Date": None})
