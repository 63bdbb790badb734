"""Bit allocation: which layer gets how many bits when the file may have so many bytes."""

import math

import numpy
from scipy.optimize import Bounds, LinearConstraint, milp


def file_bytes(shapes: dict[str, list[int]], allocation: dict[str, int], group_size: int) -> int:
    """Bytes of a model's file in which some matrices are quantized in groups.

    Args:
        shapes: shape of every tensor that is stored, by name; a tied tensor is listed once.
        allocation: width in bits of each quantized matrix, by name. What is not in it (embedding,
            norms, biases) is stored in float16, 2 bytes an entry.
        group_size: entries of a row that share one scale and one zero-point.

    Returns:
        The total, a Python int. A quantized (out, in) matrix has out * ceil(in / group_size)
        groups: the last group of a row may be shorter. It costs its codes, packed at `bits` bits
        each and padded to whole bytes once for the matrix, and 3 bytes a group: a float16 scale
        and an 8-bit zero-point. Names and headers are not counted.
        Raises `ValueError` when the allocation names a tensor that `shapes` lacks or that is not a
        matrix.
    """
    ### BEGIN SOLUTION
    total = 0
    for name, bits in allocation.items():
        if len(shapes.get(name, [])) != 2:
            raise ValueError(f"{name} is not a stored matrix")
        rows, columns = shapes[name]
        total += math.ceil(rows * columns * bits / 8) + 3 * rows * math.ceil(columns / group_size)
    return total + sum(2 * math.prod(shape) for name, shape in shapes.items() if name not in allocation)
    ### END SOLUTION


def allocate_greedy(
    costs: dict[str, list[float]], sizes: dict[str, list[int]], bits: list[int], budget_bytes: int
) -> dict[str, int]:
    """Spend bytes where the next one buys most.

    Args:
        costs: for each layer what each width costs in quality, as long as `bits`; usually falling.
        sizes: for each layer its bytes at each width, as long as `bits`; rising.
        bits: the widths, rising, two or more.
        budget_bytes: what all layers together may use.

    Returns:
        The width of each layer, by name, in the order of `costs`.

        1. Every layer starts at `bits[0]`. If that does not fit, raise `ValueError`.
        2. A step raises one layer to its next width. Among the steps that still fit the budget and
           lower the layer's cost, take the one with the largest (fall in cost) / (rise in bytes); of
           equals the layer that comes first in `costs`. A layer never skips a width.
        3. Stop when no step is left.

    The best choice for a budget needs more than this: a cheap step can hide behind a poor one.
    The ratio rule is Dantzig 1957's for the knapsack problem.
    """
    ### BEGIN SOLUTION
    at = {name: 0 for name in costs}
    used = sum(sizes[name][0] for name in costs)
    if used > budget_bytes:
        raise ValueError(f"{budget_bytes} bytes are too few: the narrowest widths need {used}")
    while True:
        best, best_gain = None, 0.0
        for name, i in at.items():
            if i + 1 == len(bits) or used + sizes[name][i + 1] - sizes[name][i] > budget_bytes:
                continue
            gain = (costs[name][i] - costs[name][i + 1]) / (sizes[name][i + 1] - sizes[name][i])
            if gain > best_gain:
                best, best_gain = name, gain
        if best is None:
            return {name: bits[i] for name, i in at.items()}
        used += sizes[best][at[best] + 1] - sizes[best][at[best]]
        at[best] += 1
    ### END SOLUTION


def allocate_dp(
    costs: dict[str, list[float]], sizes: dict[str, list[int]], bits: list[int], budget_bytes: int
) -> dict[str, int]:
    """The allocation with the least total cost, by dynamic programming.

    Args and errors as for `allocate_greedy`. Costs need not fall with the width, nor sizes rise.

    Returns:
        The width of each layer, by name, in the order of `costs`: a choice of one width a layer
        whose bytes add up to at most `budget_bytes` and whose costs add up to the least possible.
        Of equals, any.

        Go through the layers one by one. For each number of bytes used so far keep the cheapest
        way to use them, which is all that later layers need to know (Bellman 1957). Ways over the
        budget are dropped; so may be a way that another one beats in both bytes and cost. The
        answer is exact for any integer sizes, and the number of ways stays far below
        len(bits) ** len(costs).
    """
    ### BEGIN SOLUTION
    ways: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for name in costs:
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for used, (total, chosen) in ways.items():
            for i in range(len(bits)):
                now, cost = used + sizes[name][i], total + costs[name][i]
                if now <= budget_bytes and (now not in longer or cost < longer[now][0]):
                    longer[now] = (cost, (*chosen, bits[i]))
        ways, cheapest = {}, math.inf
        for used in sorted(longer):
            if longer[used][0] < cheapest:
                ways[used], cheapest = longer[used], longer[used][0]
    if not ways:
        raise ValueError(f"{budget_bytes} bytes are too few for any allocation")
    _, widths = min(ways.values())
    return dict(zip(costs, widths, strict=True))
    ### END SOLUTION


def allocate_ilp(
    costs: dict[str, list[float]], sizes: dict[str, list[int]], bits: list[int], budget_bytes: int
) -> dict[str, int]:
    """The allocation with the least total cost, by integer linear programming.

    Args, errors and result as for `allocate_dp`.

    One 0/1 variable for each layer and width, 1 where the layer has this width:

        minimise   sum c x    subject to   sum over widths of x = 1 for each layer,
                                           sum s x <= budget.

    `scipy.optimize.milp(c, constraints=…, integrality=…, bounds=…)` solves it with HiGHS. Two of its
    habits matter. It stops as soon as the gap to the best possible value is under a ten-thousandth
    of it, unless `options={"mip_rel_gap": 0}`; and under 1e-6 in absolute terms, so divide the
    costs by the largest of them first. It returns floats such as 0.9999999: round them.
    Without a solution, `result.x` is None.

    Yao et al. 2021, HAWQ-V3 (arXiv 2011.10680), integer linear programming; the cost is that of Dong et
    al. 2020, HAWQ-V2 (arXiv 1911.03852), equation 2.11.
    """
    ### BEGIN SOLUTION
    names, widths = list(costs), len(bits)
    c = numpy.array([costs[name] for name in names], dtype=float).ravel()
    s = numpy.array([sizes[name] for name in names], dtype=float).ravel()
    one_width = numpy.kron(numpy.eye(len(names)), numpy.ones(widths))
    result = milp(
        c / (numpy.abs(c).max() or 1.0),
        constraints=[
            LinearConstraint(one_width, 1, 1),
            LinearConstraint(s[None], -numpy.inf, budget_bytes),
        ],
        integrality=numpy.ones(c.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    if result.x is None:
        raise ValueError(f"{budget_bytes} bytes are too few for any allocation")
    chosen = result.x.reshape(len(names), widths).argmax(1)
    return {name: bits[i] for name, i in zip(names, chosen, strict=True)}
    ### END SOLUTION


def allocate_bits(
    costs: dict[str, list[float]],
    sizes: dict[str, list[int]],
    bits: list[int],
    budget_bytes: int,
    method: str = "dp",
    *,
    fixed_bytes: int = 0,
) -> dict[str, int]:
    """Choose the width of every layer for a file of a given size.

    Args:
        costs, sizes, bits: as for `allocate_greedy`.
        budget_bytes: of the whole file.
        method: "greedy", "dp" or "ilp": `allocate_greedy`, `allocate_dp` or `allocate_ilp`.
        fixed_bytes: what the file holds besides these layers: embedding, norms. It is spent before
            the first layer gets anything.

    Returns:
        What the method returns for the bytes that are left.
        Raises `ValueError` for another method, when `costs` and `sizes` do not name the same
        layers, when a layer has not one cost and one size for each width, and when the budget is
        too small.
    """
    ### BEGIN SOLUTION
    methods = {"greedy": allocate_greedy, "dp": allocate_dp, "ilp": allocate_ilp}
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}, not {method!r}")
    if costs.keys() != sizes.keys():
        raise ValueError(f"costs and sizes differ in {sorted(costs.keys() ^ sizes.keys())}")
    for name in costs:
        if not len(costs[name]) == len(sizes[name]) == len(bits):
            raise ValueError(f"{name} needs {len(bits)} costs and sizes")
    return methods[method](costs, sizes, bits, budget_bytes - fixed_bytes)
    ### END SOLUTION
