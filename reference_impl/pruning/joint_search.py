"""Searching a structure and a sparsity together, within one number of evaluations."""

from collections.abc import Callable


def joint_objective(accuracy: float, kept: float, budget: float, penalty: float) -> float:
    """One number for a pruned subnet: its accuracy, less a price for what is above the budget.

    Args:
        accuracy: of the candidate, 0 to 1.
        kept: its weights that are not zero.
        budget: weights that are allowed, above 0.
        penalty: what keeping twice the budget costs; 0 or more.

    Returns:
        accuracy - penalty * max(0, kept / budget - 1), a Python float. Below the budget nothing is gained
        by being smaller still.
    """
    ### BEGIN SOLUTION
    return float(accuracy - penalty * max(0.0, kept / budget - 1))
    ### END SOLUTION


def joint_search(
    evaluate: Callable[[dict, float], float],
    structures: list[dict],
    sparsities: list[float],
    whole: dict,
    propose: Callable[[dict, float], tuple[dict, float]],
    *,
    evaluations: int,
) -> dict:
    """The best pair of structure and sparsity, from searches along each axis and then along both.

    Args:
        evaluate: the objective of a subnet pruned to a sparsity, more is better. Calling it is expensive.
        structures: candidates of the search for a structure, 1 or more, evaluated at sparsity 0.0.
        sparsities: candidates of the search for a sparsity, 1 or more, evaluated on `whole`.
        whole: the largest subnet.
        propose: returns a new pair near a given one.
        evaluations: how often `evaluate` may be called altogether, at least as often as the two searches
            along one axis need.

    Returns:
        "structure" and "sparsity": the best pairs of the first and of the second search, as tuples
        (subnet, sparsity); "joint": the best pair of all; "scores": their objectives, in this order, three
        Python floats; "calls": how often `evaluate` was called. Of equal objectives the earliest
        wins.

        First the structures are evaluated in their order, then the sparsities. What is left of the
        evaluations goes to pairs that `propose` makes of the best pair so far, asked again after every
        evaluation. A pair that was evaluated before is looked up and not evaluated again. The
        search ends when the evaluations are used up or after 100 proposals in a row that were known.

        So "joint" is never worse than either winner, and has cost no more evaluations than were allowed.
        Raises `ValueError` when `evaluations` do not suffice for the two searches along one axis.
    """
    ### BEGIN SOLUTION
    known: list[tuple[dict, float]] = []
    scores: list[float] = []

    def look_up(pair: tuple[dict, float]) -> bool:
        if pair in known:
            return False
        if len(known) == evaluations:
            raise ValueError(f"{evaluations} evaluations are too few for the searches along one axis")
        known.append(pair)
        scores.append(float(evaluate(*pair)))
        return True

    def best_of(pairs: list[tuple[dict, float]]) -> tuple[dict, float]:
        return max(pairs, key=lambda pair: scores[known.index(pair)])

    axes = [[(subnet, 0.0) for subnet in structures], [(whole, sparsity) for sparsity in sparsities]]
    for pair in axes[0] + axes[1]:
        look_up(pair)
    failures = 0
    while len(known) < evaluations and failures < 100:
        failures = 0 if look_up(propose(*best_of(known))) else failures + 1
    winners = [best_of(axes[0]), best_of(axes[1]), best_of(known)]
    return {
        "structure": winners[0],
        "sparsity": winners[1],
        "joint": winners[2],
        "scores": [scores[known.index(pair)] for pair in winners],
        "calls": len(known),
    }
    ### END SOLUTION
