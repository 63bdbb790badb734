"""How much faster the smaller model is, measured so that a busy machine does not decide."""

import statistics
import time
from collections.abc import Callable


def paired_speedup(
    before: Callable[[], object],
    after: Callable[[], object],
    *,
    repeats: int = 20,
    warm_up: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time two calls in turns and compare them pair by pair.

    Args:
        before, after: the calls; what they return is not used.
        repeats: measured pairs, at least 1.
        warm_up: pairs that run first and are not timed.
        clock: answers with the time in seconds; read directly before and directly after each measured
            call, and at no other moment.

    Returns:
        `{"before": ..., "after": ..., "speedup": ...}`: the median time of a call of each in milliseconds,
        and the median over pairs of the time of `before` divided by that of `after`. In each pair `before`
        runs first. The median of an even number of values is the mean of the middle two.
        Raises `ValueError` when `repeats` is below 1 or `warm_up` below 0.
    """
    ### BEGIN SOLUTION
    if repeats < 1 or warm_up < 0:
        raise ValueError(f"repeats is {repeats} and warm_up {warm_up}; at least 1 and 0 are needed")
    for _ in range(warm_up):
        before()
        after()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, kept in zip((before, after), times, strict=True):
            started = clock()
            call()
            kept.append(clock() - started)
    ratios = [first / second for first, second in zip(*times, strict=True)]
    return {
        "before": 1000 * statistics.median(times[0]),
        "after": 1000 * statistics.median(times[1]),
        "speedup": statistics.median(ratios),
    }
    ### END SOLUTION
