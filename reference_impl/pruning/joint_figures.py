"""What a joint search buys: `python -m reference_impl.pruning.joint_figures` prints the table in Lab 3.8's README."""

import torch
from torch import Tensor, nn

from heldout import fashion
from labkit import data, ops, zoo
from reference_impl.pruning.joint_search import joint_objective, joint_search

HEADS, FFN = [1, 2, 3, 4], [32, 64, 128, 256]
SPARSITIES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
WHOLE = {"heads": [4] * 6, "ffn": [256] * 6}
Structure = dict[str, list[int]]


def pruned_network(every: dict[str, Tensor], structure: Structure, sparsity: float) -> nn.Module:
    """A subnet with the weights it has in the supernet, this share of each of its layers' matrices zero."""
    network = zoo.build("supernet", **structure).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(every[name][tuple(slice(size) for size in weight.shape)])
            if name.startswith("layers.") and weight.ndim == 2:
                order = weight.abs().flatten().argsort()
                weight.view(-1)[order[: round(sparsity * len(order))]] = 0.0
    return network


def kept_weights(network: nn.Module) -> int:
    """Weights in the matrices of the layers that are not zero."""
    return sum(int(layer.weight.count_nonzero()) for layer in ops.linear_layers(network.layers).values())


def accuracy(network: nn.Module, rows: dict[str, Tensor]) -> float:
    """Share of right answers."""
    with torch.no_grad():
        answers = network(rows["pixel_values"]).argmax(-1)
    return (answers == rows["labels"]).float().mean().item()


def random_structures(count: int, budget: float, generator: torch.Generator) -> list[Structure]:
    """Random subnets whose matrices fit into a budget."""
    fitting: list[Structure] = []
    while len(fitting) < count:
        depth = int(torch.randint(1, 7, (), generator=generator))
        places = torch.randint(4, (2, depth), generator=generator).tolist()
        subnet = {"heads": [HEADS[place] for place in places[0]], "ffn": [FFN[place] for place in places[1]]}
        if 4 * 64 * 16 * sum(subnet["heads"]) + 2 * 64 * sum(subnet["ffn"]) <= budget:
            fitting.append(subnet)
    return fitting


def neighbour(structure: Structure, sparsity: float, generator: torch.Generator) -> tuple[Structure, float]:
    """A pair that differs in one choice."""

    def pick(values: list) -> int | float:
        return values[int(torch.randint(len(values), (), generator=generator))]

    heads, ffn = list(structure["heads"]), list(structure["ffn"])
    what, place = pick([0, 1, 2, 3, 3]), pick(list(range(len(heads))))
    if what == 0:
        heads[place] = pick(HEADS)
    elif what == 1:
        ffn[place] = pick(FFN)
    elif what == 2 and len(heads) > 1 and (len(heads) == 6 or pick([True, False])):
        heads, ffn = heads[:-1], ffn[:-1]
    elif what == 2:
        heads, ffn = [*heads, pick(HEADS)], [*ffn, pick(FFN)]
    return {"heads": heads, "ffn": ffn}, pick(SPARSITIES) if what == 3 else sparsity


def searched(
    every: dict[str, Tensor], rows: dict[str, Tensor], budget: float, seed: int, prune: bool
) -> dict:
    """A search over pairs, or with prune=False over structures alone, with 40 evaluations."""
    generator = torch.Generator().manual_seed(seed)

    def evaluate(structure: Structure, sparsity: float) -> float:
        network = pruned_network(every, structure, sparsity)
        return joint_objective(accuracy(network, rows), kept_weights(network), budget, 1.0)

    def propose(structure: Structure, sparsity: float) -> tuple[Structure, float]:
        near = neighbour(structure, sparsity, generator)
        return near if prune else (near[0], 0.0)

    structures = random_structures(12, budget, generator)
    sparsities = [0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95] if prune else [0.9]
    return joint_search(evaluate, structures, sparsities, WHOLE, propose, evaluations=40)


def main(seeds: int = 5) -> None:
    """Print objectives on the pictures of the search and accuracies on the test pictures, mean and range."""
    every = zoo.load("supernet").state_dict()
    validation, test = data.tensors(data.fashion()["validation"]), data.tensors(fashion())
    rows = {key: value[:400] for key, value in validation.items()}
    for share in (0.05, 0.1, 0.15):
        budget = share * kept_weights(pruned_network(every, WHOLE, 0.0))
        figures: dict[str, list[list[float]]] = {"sparsity alone": [], "structure alone": [], "joint": []}
        for seed in range(seeds):
            joint, alone = (searched(every, rows, budget, seed, prune) for prune in (True, False))
            for name, found, place in (
                ("sparsity alone", joint, "sparsity"),
                ("structure alone", alone, "joint"),
                ("joint", joint, "joint"),
            ):
                value = found["scores"][["structure", "sparsity", "joint"].index(place)]
                network = pruned_network(every, *found[place])
                figures[name].append([value, accuracy(network, test), found[place][1]])
        for name, runs in figures.items():
            columns = zip(("objective", "test accuracy", "sparsity"), torch.tensor(runs).T, strict=True)
            cells = [
                f"{label} {part.mean():.3f} ({part.min():.3f} to {part.max():.3f})" for label, part in columns
            ]
            print(f"budget {share:.2f}, {name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
