"""A latency table of layers that is measured on whole networks, and what it predicts."""

import statistics
from collections.abc import Callable


def latency_table(
    run: Callable[[list[str]], object],
    kinds: list[str],
    *,
    clock: Callable[[], float],
    warm_up: int = 3,
    repeats: int = 9,
) -> dict:
    """What a layer of each kind adds to a network's time, and what the network takes beside its layers.

    Args:
        run: `run(layers)` runs a network once that has these kinds of layers, in this order.
        kinds: names of the kinds, 1 or more.
        clock: returns seconds.
        warm_up: rounds that are run and not timed: the first runs pay for memory that is not there yet.
        repeats: rounds that are timed, 1 or more; `ValueError` below.

    Returns:
        "layers": for each kind what one layer of it adds, and "fixed": what is left of a network without
        layers, both in milliseconds, Python floats.

        A round runs, for every kind in the order of `kinds`, first the network with one layer of the
        kind and then the one with two, so that a busy moment of the machine meets all of them. The clock is
        read immediately before and immediately after each timed run, and never in a warm-up round. With
        T1 and T2 the medians of a kind's times over the timed rounds, a layer adds T2 - T1. "fixed" is the
        mean of T1 - (T2 - T1) over the kinds.

    Cai et al. 2019, ProxylessNAS (arXiv 1812.00332), section 3.3; Wu et al. 2019, FBNet
    (arXiv 1812.03443), section 3.2.
    """
    ### BEGIN SOLUTION
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; at least one round must be timed")
    times: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in kinds}
    for turn in range(warm_up + repeats):
        for kind in kinds:
            for depth in (1, 2):
                if turn < warm_up:
                    run([kind] * depth)
                    continue
                started = clock()
                run([kind] * depth)
                times[kind][depth - 1].append(1000 * (clock() - started))
    medians = {kind: [statistics.median(part) for part in pair] for kind, pair in times.items()}
    layers = {kind: two - one for kind, (one, two) in medians.items()}
    fixed = [medians[kind][0] - layers[kind] for kind in kinds]
    return {"layers": layers, "fixed": sum(fixed) / len(fixed)}
    ### END SOLUTION


def predict_latency(table: dict, layers: list[str]) -> float:
    """The time of a network in milliseconds, added up from a table.

    Args:
        table: "layers", milliseconds of a layer of each kind, and "fixed", milliseconds of the rest.
        layers: the kind of each layer; the same kind may come more than once, and the list may be empty.

    Returns:
        A Python float: "fixed", once, plus the entry of every layer. Raises `ValueError` when the table lacks a
        kind: a guess would look like a measurement.
    """
    ### BEGIN SOLUTION
    missing = sorted(set(layers) - set(table["layers"]))
    if missing:
        raise ValueError(f"the table has no {', '.join(missing)}")
    return float(table["fixed"] + sum(table["layers"][kind] for kind in layers))
    ### END SOLUTION
