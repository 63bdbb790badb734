"""Evolutionary search for a subnet under a budget."""

from collections.abc import Callable

import torch


def mutate(
    subnet: dict[str, list[int]], space: dict, probability: float, generator: torch.Generator
) -> dict[str, list[int]]:
    """A subnet that differs from the given one in some of its choices.

    Args:
        subnet: "heads" and "ffn", a list each with one int for each layer. It is not changed.
        space: "layers", the most layers (int); "heads" and "ffn", the values a layer may have, rising lists.
        probability: of each change, 0 to 1.
        generator: every random number comes from it.

    Returns:
        A new subnet of the space. With this probability, each independently of the others:

        - every entry of "heads" and of "ffn" becomes one of the other values the space has for it, each
          equally likely; it stays where the space has no other value;
        - the depth changes by one: the last layer goes or a new one comes behind it, with random heads
          and ffn; equally likely where both are possible. A subnet has 1 to "layers" layers, and where
          "layers" is 1 the depth stays.

    Guo et al. 2020, Single Path One-Shot NAS (arXiv 1904.00420), algorithm 1.
    """

    ### BEGIN SOLUTION
    def chance(limit: float) -> bool:
        return float(torch.rand((), generator=generator)) < limit

    def any_of(options: list[int]) -> int:
        place = torch.randint(0, len(options), (1,), generator=generator)
        return options[place.item()]

    child: dict[str, list[int]] = {}
    for part in ("heads", "ffn"):
        child[part] = []
        for value in subnet[part]:
            others = [other for other in space[part] if other != value]
            child[part].append(any_of(others) if others and chance(probability) else value)
    depth = len(child["heads"])
    steps = [step for step in (-1, 1) if 1 <= depth + step <= space["layers"]]
    if steps and chance(probability):
        step = any_of(steps)
        for part in ("heads", "ffn"):
            child[part] = child[part][:-1] if step < 0 else [*child[part], any_of(space[part])]
    return child
    ### END SOLUTION


def crossover(
    first: dict[str, list[int]], second: dict[str, list[int]], generator: torch.Generator
) -> dict[str, list[int]]:
    """A child of two subnets.

    Args:
        first, second: the parents, "heads" and "ffn", a list each with one int for each layer. They
            are not changed.
        generator: every random number comes from it.

    Returns:
        A new subnet with the depth of one parent, each equally likely. Each entry of "heads" and of "ffn"
        comes from the same place of one of the parents, each equally likely and independently of all
        other entries; where only one parent has the layer, from that one.
    """
    ### BEGIN SOLUTION
    parents = (first, second)

    def side() -> int:
        return int(torch.randint(2, (), generator=generator))

    depth = len(parents[side()]["heads"])
    child: dict[str, list[int]] = {"heads": [], "ffn": []}
    for part in ("heads", "ffn"):
        for layer in range(depth):
            have = [parent[part][layer] for parent in parents if layer < len(parent[part])]
            child[part].append(have[side()] if len(have) == 2 else have[0])
    return child
    ### END SOLUTION


def evolve(
    score: Callable[[dict], float],
    cost: Callable[[dict], float],
    draw: Callable[[], dict],
    breed: Callable[[dict, dict], dict],
    *,
    budget: float,
    population: int,
    parents: int,
    evaluations: int,
    generator: torch.Generator,
) -> dict:
    """Search among the subnets that cost no more than a budget, with a fixed number of evaluations.

    Args:
        score: quality of a subnet, more is better. Calling it is expensive.
        cost: of a subnet. Calling it costs next to nothing.
        draw: returns a random subnet, of any cost.
        breed: returns a child of two subnets, of any cost.
        budget: the highest cost that is allowed, itself included.
        population: how many random subnets are scored first.
        parents: how many of the best may have children, 2 or more and at most `population`.
        evaluations: how often `score` is called altogether, at least `population`.
        generator: of the choice of parents.

    Returns:
        "subnets": every subnet that was scored, in that order; "scores": its score, Python floats;
        "best": the subnet with the highest score, of equals the earliest.

        First `population` subnets are drawn and scored. From then on, two different ones of the `parents`
        best of all that were scored so far (of equal scores the earlier is better) are chosen at
        random, each pair equally likely, and their child is scored. A subnet that costs more than the budget or was
        scored before is thrown away: it is not scored, has no children and counts as no evaluation.

        `score` is called exactly `evaluations` times, unless 1000 subnets in a row were thrown away: then
        the search ends with what it has. Raises `ValueError` if it has nothing by then.

    Guo et al. 2020, Single Path One-Shot NAS (arXiv 1904.00420), algorithm 1; Real et al. 2019,
    Regularized Evolution (arXiv 1802.01548).
    """
    ### BEGIN SOLUTION
    subnets: list[dict] = []
    scores: list[float] = []
    failures = 0
    while len(subnets) < evaluations and failures < 1000:
        if len(subnets) < population:
            candidate = draw()
        else:
            order = sorted(range(len(subnets)), key=lambda place: -scores[place])[:parents]
            one, other = torch.randperm(len(order), generator=generator)[:2].tolist()
            candidate = breed(subnets[order[one]], subnets[order[other]])
        if cost(candidate) > budget or candidate in subnets:
            failures += 1
            continue
        failures = 0
        subnets.append(candidate)
        scores.append(float(score(candidate)))
    if not subnets:
        raise ValueError(f"1000 subnets in a row cost more than {budget}")
    return {"subnets": subnets, "scores": scores, "best": subnets[scores.index(max(scores))]}
    ### END SOLUTION
