"""Choosing among models: a ladder of mixed widths, the Pareto front and the smallest that will do."""


def precision_ladder(
    costs: dict[str, list[float]], sizes: dict[str, list[int]], low: int, high: int
) -> list[dict[str, int]]:
    """All models between `low` bits everywhere and `high` bits everywhere, one layer apart.

    Args:
        costs: for each layer what it costs in quality at `low` bits and at `high` bits: 2 floats.
        sizes: for each layer its bytes at `low` bits and at `high` bits: 2 ints, rising.
        low, high: widths in bits.

    Returns:
        One allocation (the width of each layer by name, in the order of `costs`) more than there
        are layers. The first has `low` everywhere. Each of the others raises one more layer to
        `high`; the layers are raised in the order of (fall in cost) / (rise in bytes), largest
        first, and of equals the one that comes first in `costs`. The last has `high` everywhere.

    Wu et al. 2018, Mixed Precision Quantization of ConvNets via Differentiable NAS (arXiv
    1812.00090), shows what such a mix is worth; the ratio is that of Dantzig 1957.
    """

    ### BEGIN SOLUTION
    def gain(name: str) -> float:
        return (costs[name][0] - costs[name][1]) / (sizes[name][1] - sizes[name][0])

    order = sorted(costs, key=lambda name: -gain(name))
    return [
        {name: high if name in order[:raised] else low for name in costs} for raised in range(len(order) + 1)
    ]
    ### END SOLUTION


def pareto_front(points: dict[str, list[float]]) -> list[str]:
    """The models that no other model beats.

    Args:
        points: for each model its objectives, such as [bytes, perplexity, milliseconds]; less is
            better in every one, and every model has the same number of them.

    Returns:
        The names of the points that are not dominated, by rising first objective (of equals by the
        second, and so on). A point dominates another when it is at most as large in every
        objective and smaller in at least one. Of points with the same objectives, the one that
        comes first in `points` stays, if none dominates it.

    Deb 2001, Multi-Objective Optimization using Evolutionary Algorithms, section 2.4.
    """
    ### BEGIN SOLUTION
    front: list[str] = []
    for name in sorted(
        points, key=lambda name: tuple(points[name])
    ):  # stable: the first of equals comes first
        mine = points[name]
        # In this order nothing later can dominate, and what is equal came first.
        if not any(all(a <= b for a, b in zip(points[kept], mine, strict=True)) for kept in front):
            front.append(name)
    return front
    ### END SOLUTION


def smallest_within(points: dict[str, list[float]], baseline: float, tolerance: float) -> str:
    """The smallest model that loses no more than is allowed.

    Args:
        points: for each model [bytes, perplexity].
        baseline: perplexity of the model before compression.
        tolerance: how much more perplexity is allowed, as a share of the baseline, such as 0.01.

    Returns:
        The name of the model with the fewest bytes among those whose perplexity is at most
        baseline * (1 + tolerance). Of equal bytes the one with the lower perplexity; of equals in
        both the one that comes first.
        Raises `ValueError` when there is none: the caller must not ship the least bad one unasked.

    The criterion is that of accuracy-driven tuning in Intel Neural Compressor's `autotune`.
    """
    ### BEGIN SOLUTION
    allowed = [name for name in points if points[name][1] <= baseline * (1 + tolerance)]
    if not allowed:
        raise ValueError(f"no model has a perplexity of at most {baseline * (1 + tolerance):.4f}")
    return min(allowed, key=lambda name: tuple(points[name]))
    ### END SOLUTION
