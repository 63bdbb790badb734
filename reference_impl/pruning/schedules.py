"""The cubic sparsity schedule of gradual pruning (Zhu & Gupta 2017, arXiv 1710.01878, equation 1)."""


def sparsity_schedule(
    step: int, *, initial: float, final: float, start: int, interval: int, prunings: int
) -> float:
    """Return the sparsity that a model has after the pruning of training step `step`.

    Masks change only at the pruning steps start, start + interval, ..., start + prunings * interval. At such a
    step t the sparsity is

        final + (initial - final) * (1 - (t - start) / (prunings * interval)) ** 3

    Between two pruning steps it stays what it was at the earlier one. Before `start` it is `initial`; from
    start + prunings * interval on it is `final`.

    Args:
        step: of training, from 0.
        initial: sparsity before the first pruning, 0 to 1.
        final: sparsity after the last one, 0 to 1.
        start: first pruning step.
        interval: training steps from one pruning to the next, at least 1.
        prunings: how many intervals there are (n in the paper), at least 1.

    Raises:
        ValueError: `interval` or `prunings` is below 1.
    """
    ### BEGIN SOLUTION
    if interval < 1 or prunings < 1:
        raise ValueError(f"interval {interval} and prunings {prunings} must be at least 1")
    if step < start:
        return initial
    passed = min((step - start) // interval, prunings)
    return final + (initial - final) * (1 - passed / prunings) ** 3
    ### END SOLUTION
