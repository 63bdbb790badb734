"""Plots: described, labelled, told apart without colour."""

from __future__ import annotations

import pandas
import pytest
import torch

from labkit import plots


def test_a_figure_carries_its_description_into_the_notebook() -> None:
    made, _ = plots.figure(alt='two "lines" & a dot')
    bundle, metadata = made._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == 'two "lines" & a dot'
    assert 'alt="two &quot;lines&quot; &amp; a dot"' in bundle["text/html"]
    assert bundle["image/png"] and "max-width:100%" in bundle["text/html"]


def test_no_description_no_figure() -> None:
    with pytest.raises(ValueError, match="alternative text"):
        plots.figure(alt="  ")


def test_lines_differ_in_dash_and_marker_and_name_their_axes() -> None:
    made = plots.lines(
        [2, 4, 8],
        {"a": [1, 2, 3], "b": [3, 2, 1]},
        x_label="bits",
        y_label="SQNR (dB)",
        alt="rising and falling",
        log_y=True,
    )
    axes = made.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bits", "SQNR (dB)")
    first, second = axes.get_lines()
    assert first.get_linestyle() != second.get_linestyle() and first.get_marker() != second.get_marker()
    with pytest.raises(ValueError, match="has 1 values for 2"):
        plots.lines([1, 2], {"a": [1]}, x_label="x", y_label="y", alt="a")


def test_bars_show_values_and_the_limit() -> None:
    made = plots.bars({str(i): i for i in range(1, 6)}, y_label="size (MB)", alt="five bars", limit=2)
    assert len(made.axes[0].patches) == 5 and made.axes[0].get_lines()[0].get_ydata()[0] == 2
    assert len({patch.get_hatch() for patch in made.axes[0].patches}) == 5
    with pytest.raises(ValueError, match="no bars"):
        plots.bars({}, y_label="y", alt="none")


def test_histograms_share_their_bins() -> None:
    made = plots.histogram(
        {"narrow": torch.linspace(-1, 1, 50), "wide": torch.linspace(-4, 4, 50)}, x_label="weight", alt="two"
    )
    left = [patch.get_xy()[:, 0].min() for patch in made.axes[0].patches]
    assert left[0] == left[1]


@pytest.mark.parametrize("metric", ["accuracy", "perplexity"])
def test_the_trade_off_describes_itself(metric: str) -> None:
    frame = pandas.DataFrame({"bytes": [4e6, 1e6], metric: [0.9, 0.8]}, index=["fp32", "int8"])
    made = plots.trade_off(frame)
    assert f"int8: 1.00 MB, {metric} 0.800" in made.alt
    assert "MB" in made.axes[0].get_xlabel()


def test_show_outside_a_notebook_prints_the_description(capsys: pytest.CaptureFixture[str]) -> None:
    plots.show(plots.figure("title", alt="an empty frame")[0])
    assert capsys.readouterr().out == "an empty frame\n"
