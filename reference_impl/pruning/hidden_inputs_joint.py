"""Tables of objectives and lists of proposals for the hidden checks of the joint search in Lab 3.8."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Pair = tuple[dict[str, list[int]], float]


def key(structure: dict[str, list[int]], sparsity: float) -> str:
    """The name of a pair in a table, as the notebook's probe writes it."""
    return f"{structure['heads']} {structure['ffn']} {float(sparsity):.2f}"


@dataclass
class Case:
    """What a search is given. `moves` is read from its beginning again when it is used up."""

    table: dict[str, float]
    structures: list[dict[str, list[int]]]
    sparsities: list[float]
    whole: dict[str, list[int]]
    moves: list[list]
    evaluations: int

    def arguments(self) -> tuple:
        """The arguments of the probe behind the function."""
        return self.table, self.structures, self.sparsities, self.whole, self.moves

    def run(self, search: Callable[..., dict]) -> dict:
        """What a search asks for and finds, as the probe reports it; "proposed" are the pairs that proposals added."""
        asked: list[str] = []
        near: list[str] = []
        proposed: list[str] = []

        def evaluate(structure: dict[str, list[int]], sparsity: float) -> float:
            asked.append(key(structure, sparsity))
            if near:
                proposed.append(asked[-1])
            return self.table.get(asked[-1], -1.0)

        def propose(structure: dict[str, list[int]], sparsity: float) -> Pair:
            near.append(key(structure, sparsity))
            structure, sparsity = self.moves[(len(near) - 1) % len(self.moves)]
            return structure, sparsity

        found = search(
            evaluate, self.structures, self.sparsities, self.whole, propose, evaluations=self.evaluations
        )
        names = ("structure", "sparsity", "joint")
        return {
            "asked": asked,
            "near": near,
            "proposed": proposed,
            "winners": [key(*found[name]) for name in names],
            "scores": found["scores"],
            "calls": found["calls"],
        }


def joint_case(
    generator: torch.Generator, *, more: int, axis: str = "", ties: bool = False, repeats: bool = False
) -> Case:
    """A search with random objectives, no two of them equal unless `ties`.

    Args:
        more: evaluations that are left for proposals; -1: one too few for the axes.
        axis: "structure" or "sparsity" lets the best pair of all be one of that axis; otherwise it is a proposal.
        ties: objectives are thirds, so that many are equal, and each axis has two winners.
        repeats: a structure and a sparsity come twice.
    """
    order = torch.randperm(9, generator=generator).tolist()
    subnets = [{"heads": [1 + n % 3] * (1 + n // 3), "ffn": [16 * (1 + n)] * (1 + n // 3)} for n in order]
    whole = {"heads": [4] * 4, "ffn": [256] * 4}
    shares = [round(0.1 * place, 2) for place in (torch.randperm(8, generator=generator) + 1).tolist()]
    structures, sparsities = subnets[:4], shares[:3]
    pairs = [[subnet, 0.0] for subnet in structures] + [[whole, share] for share in sparsities]
    fresh = [[subnets[n % 9], shares[n // 9]] for n in torch.randperm(72, generator=generator).tolist()]
    fresh = fresh[: max(more, 1) + 8]
    moves = []
    for place, pair in enumerate(fresh):  # every new proposal between ones that are known
        moves += [pair, pairs[place % len(pairs)], fresh[place // 2]]
    every = [*pairs, *fresh]
    values = (torch.randperm(len(every), generator=generator).double() / len(every) - 0.2).tolist()
    high = {"structure": 1, "sparsity": len(structures) + 1}.get(axis, len(pairs) + 1)
    top = values.index(max(values))
    values[high], values[top] = values[top], values[high]
    if ties:
        values = [round(3 * value) / 3 for value in values]
        values[1] = values[3] = max(values[:4])
        values[4] = values[6] = max(values[4:7])
    table = {key(*pair): value for pair, value in zip(every, values, strict=True)}
    evaluations = len(pairs) + more
    if repeats:
        structures, sparsities = [*structures, structures[1]], [sparsities[0], *sparsities]
    return Case(table, structures, sparsities, whole, moves, evaluations)


def stuck_case(generator: torch.Generator) -> Case:
    """A search in which 1 proposal is new, then 60 are known, 1 is new and all later ones are known."""
    case = joint_case(generator, more=9)
    case.structures, case.sparsities = case.structures[:1], case.sparsities[:1]
    known = [case.structures[0], 0.0]
    fresh = [move for move in case.moves if move[1] not in (0.0, *case.sparsities)]
    first = fresh[0]
    second = next(move for move in fresh if move != first)
    case.moves = [first, *([known] * 60), second, *([known] * 2000)]
    case.evaluations = 20
    return case
