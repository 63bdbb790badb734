"""Inputs for the hidden tests of bit allocation, with answers found by trying everything."""

import itertools

import torch

Instance = tuple[dict[str, list[float]], dict[str, list[int]], list[int], int]
"""Costs, sizes, bits and budget, as `allocate_dp` takes them."""


def total(
    allocation: dict[str, int], table: dict[str, list[float]] | dict[str, list[int]], bits: list[int]
) -> float:
    """The sum over layers of a table's entry at the layer's width."""
    return sum(table[name][bits.index(width)] for name, width in allocation.items())


def everything(costs: dict[str, list[float]], sizes: dict[str, list[int]], budget: int) -> float:
    """The least total cost within the budget, by trying every combination of widths."""
    best = float("inf")
    for choice in itertools.product(range(len(next(iter(costs.values())))), repeat=len(costs)):
        if sum(sizes[name][i] for name, i in zip(costs, choice, strict=True)) <= budget:
            best = min(best, sum(costs[name][i] for name, i in zip(costs, choice, strict=True)))
    return best


def instance(count: int, generator: torch.Generator, *, widths: tuple[int, ...] = (2, 3, 4, 8)) -> Instance:
    """Layers whose names are in no order, with costs that fall about fourfold a bit and a tight budget.

    The names come shuffled, so that an answer which sorts them belongs to other layers.
    """
    names = [f"layer.{index}" for index in torch.randperm(count, generator=generator).tolist()]
    rows = torch.randint(3, 40, (count,), generator=generator).tolist()
    scale = (3 * torch.rand(count, generator=generator, dtype=torch.float64)).exp().tolist()
    noise = (0.5 + torch.rand(count, len(widths), generator=generator, dtype=torch.float64)).tolist()
    costs = {
        name: sorted((scale[i] * noise[i][j] * 4.0**-width for j, width in enumerate(widths)), reverse=True)
        for i, name in enumerate(names)
    }
    sizes = {name: [8 * rows[i] * width + 5 * rows[i] for width in widths] for i, name in enumerate(names)}
    low, high = (sum(size[end] for size in sizes.values()) for end in (0, -1))
    share = 0.1 + 0.5 * torch.rand(1, generator=generator).item()
    return costs, sizes, list(widths), int(low + share * (high - low))


def instance_where_greedy_loses(count: int, generator: torch.Generator, share: float = 1.02) -> Instance:
    """An instance on which the ratio rule ends at least 2% above the optimum."""
    from reference_impl.quantization.bit_allocation import allocate_greedy

    while True:
        costs, sizes, bits, budget = instance(count, generator)
        greedy = allocate_greedy(costs, sizes, bits, budget)
        if total(greedy, costs, bits) > share * everything(costs, sizes, budget):
            return costs, sizes, bits, budget
