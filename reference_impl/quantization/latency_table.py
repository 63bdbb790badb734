"""A latency table: time each kind of layer once, then add up any model from it."""

import statistics
from collections.abc import Callable


def latency_table(
    calls: dict[str, dict[str, Callable[[], object]]],
    *,
    clock: Callable[[], float],
    warm_up: int = 3,
    repeats: int = 9,
) -> dict[str, dict[str, float]]:
    """Median time of every kind of layer in every format, in milliseconds.

    Args:
        calls: `calls[kind][format]()` runs a layer of this kind in this format once.
        clock: returns seconds.
        warm_up: rounds that are run and not timed: the first calls pay for memory and for kernels
            that are chosen at first use.
        repeats: rounds that are timed, 1 or more; `ValueError` below.

    Returns:
        `table[kind][format]`, a Python float: the median over the timed rounds of the time between
        a reading of the clock immediately before the call and one immediately after it, times 1000.
        The median of an even number of values is the mean of the two in the middle.

        A round runs every call once, in the order of `calls`, so that a busy moment of the machine
        meets all of them. The clock is read twice for each timed call and never in a warm-up round.

    Wang et al. 2019, HAQ (arXiv 1811.08886), drives a search by such a table.
    """
    ### BEGIN SOLUTION
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; at least one round must be timed")
    times: dict[str, dict[str, list[float]]] = {kind: {form: [] for form in calls[kind]} for kind in calls}
    for turn in range(warm_up + repeats):
        for kind, formats in calls.items():
            for form, call in formats.items():
                if turn < warm_up:
                    call()
                    continue
                started = clock()
                call()
                times[kind][form].append(1000 * (clock() - started))
    return {
        kind: {form: statistics.median(values) for form, values in formats.items()}
        for kind, formats in times.items()
    }
    ### END SOLUTION


def predict_latency(
    table: dict[str, dict[str, float]],
    kinds: dict[str, str],
    allocation: dict[str, str],
    overhead: float = 0.0,
) -> float:
    """Latency of a model in milliseconds, added up from a table.

    Args:
        table: as of `latency_table`.
        kinds: the kind of each layer of the model, by the layer's name.
        allocation: the format of each layer, by the layer's name.
        overhead: what the rest of the model takes, in milliseconds.

    Returns:
        `overhead` plus each layer's entry of the table. A kind that occurs in many layers counts as
        often as it occurs.
        Raises `ValueError` when a layer has a kind but no format or the other way round, or when
        the table lacks an entry.
    """
    ### BEGIN SOLUTION
    if kinds.keys() != allocation.keys():
        raise ValueError(f"kinds and allocation differ in {sorted(kinds.keys() ^ allocation.keys())}")
    total = overhead
    for layer, kind in kinds.items():
        if allocation[layer] not in table.get(kind, {}):
            raise ValueError(f"the table has no {kind} in {allocation[layer]}")
        total += table[kind][allocation[layer]]
    return total
    ### END SOLUTION
