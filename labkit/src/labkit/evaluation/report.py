"""The table that ends every notebook."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn, no_grad

from labkit import data
from labkit.evaluation import costs, sizes
from labkit.evaluation.entry import Entry
from labkit.evaluation.quality import Predict, logits, quality, recovery

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset

Reportable = nn.Module | Entry | Predict
FORMATS: dict[str, str] = {
    "bytes": "{:,.0f}",
    "times smaller": "{:.2f}",
    "bits a weight": "{:.2f}",
    "sparsity": "{:.1%}",
    "parameters": "{:,.0f}",
    "MACs a row": "{:,.0f}",
    "latency (ms)": "{:.2f}",
    "latency spread (ms)": "{:.2f}",
    "accuracy": "{:.4f}",
    "perplexity": "{:.3f}",
    "recovery": "{:.4f}",
}


def report(
    models: Mapping[str, Reportable],
    rows: Dataset | Mapping[str, Tensor],
    *,
    baseline: str | None = None,
    latency_rows: int = 8,
    repeats: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> pandas.DataFrame:
    """Measure every model on the same rows and return one table, a row a model.

    Args:
        models: a name and a module, an ``Entry``, or a callable, each.
        rows: a split of ``labkit.data`` or the dict of ``labkit.data.tensors``.
        baseline: the model that sizes and quality are compared with; the first one by default.
        latency_rows: rows of data in the call that is timed.
        repeats: timed calls of each model.
        clock: seconds; tests inject their own.

    Returns:
        Columns: bytes, times smaller, bits a weight, sparsity (0 to 1), parameters, MACs a row, latency (ms)
        of one call with ``latency_rows`` rows, latency spread (ms) between quartiles, accuracy or perplexity,
        recovery (1 is the baseline's quality). What is not known of a callable is NaN.

    Raises:
        ValueError: there are no models, or ``baseline`` is none of them.
    """
    import pandas

    chosen = baseline if baseline is not None else next(iter(models), None)
    if chosen is None or chosen not in models:
        raise ValueError(f"baseline {chosen!r} is none of the models {list(models)}")
    tensors = dict(rows) if isinstance(rows, Mapping) else data.tensors(rows)
    entries = {name: item if isinstance(item, Entry) else Entry(item) for name, item in models.items()}
    timed = {key: value[:latency_rows] for key, value in tensors.items()}
    calls = {name: _timed_call(entry, timed) for name, entry in entries.items()}
    with no_grad():
        times = costs.latencies(calls, repeats=repeats, clock=clock)
    table = {name: _measure(entry, tensors, times[name]) for name, entry in entries.items()}
    for row in table.values():
        reference = table[chosen]
        metric = next(key for key in ("accuracy", "perplexity") if key in row)
        row["times smaller"] = reference["bytes"] / row["bytes"]
        row["recovery"] = recovery(metric, row[metric], reference[metric])
    columns = [column for column in FORMATS if column in next(iter(table.values()))]
    frame = pandas.DataFrame.from_dict(table, orient="index")[columns]
    frame.index.name = "model"
    frame.attrs["baseline"] = chosen
    return frame


def show(frame: pandas.DataFrame) -> str:
    """Return the table as text with readable numbers; unknown values are a dash."""
    columns = {column: [_text(FORMATS[column], value) for value in frame[column]] for column in frame.columns}
    return str(type(frame)(columns, index=frame.index).to_string())


def _text(template: str, value: float) -> str:
    return template.format(value) if value == value else "–"


def _timed_call(entry: Entry, rows: dict[str, Tensor]) -> Callable[[], object]:
    return lambda: logits(entry.model, rows)


def _measure(entry: Entry, rows: dict[str, Tensor], latency: costs.Latency) -> dict[str, Any]:
    module = entry.model if isinstance(entry.model, nn.Module) else None
    one_row = {key: value[:1] for key, value in rows.items() if key != "labels"}

    def known(given: float | None, count: Callable[[nn.Module], float]) -> float:
        if given is not None:
            return given
        return count(module) if module is not None else float("nan")

    stored = known(entry.stored_bytes, sizes.stored_bytes)
    parameters = known(entry.parameters, sizes.parameter_count)
    metric, value = quality(entry.model, rows)
    return {
        "bytes": stored,
        "bits a weight": 8 * stored / parameters,
        "sparsity": known(entry.sparsity, sizes.sparsity),
        "parameters": parameters,
        "MACs a row": known(entry.macs, lambda model: costs.macs(model, one_row)),
        "latency (ms)": latency.median,
        "latency spread (ms)": latency.spread,
        metric: value,
        "times smaller": float("nan"),
        "recovery": float("nan"),
    }
