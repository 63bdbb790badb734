"""The measured checks of Lab 3.4."""

from functools import cache

import torch
from torch import Tensor, nn

from labkit import data, evaluation, ops, zoo
from reference_impl.measured import Measured, entry, mean
from reference_impl.quantization.bit_allocation import allocate_dp, file_bytes
from reference_impl.quantization.hessian_trace import hawq_score, hutchinson_trace
from reference_impl.quantization.pareto import precision_ladder
from reference_impl.quantization.sensitivity import layer_sensitivity, spearman

GROUP = 64
WIDTHS = [2, 3, 4, 6, 8]
LOTS = 8
"""Uniform widths with layers drawn by lot are averaged over so many draws, since a single one may be lucky.

The draws are rotations of one random order, so that each layer is raised about equally often: their mean varies
far less than that of independent draws."""

Costs = dict[str, list[float]]


def on_grid(weight: Tensor, bits: int) -> Tensor:
    """The lab's grid: round to nearest, a scale and a zero-point for every 64 weights of a row."""
    return ops.snap_groups(weight.detach(), bits, GROUP)


@cache
def blocks(split: str) -> Tensor:
    """Blocks of 128 tokens: of the first eight training addresses, as in the notebooks, or of validation."""
    rows = data.prose()[split]
    return data.tensors(rows.select(range(8)) if split == "train" else rows)["input_ids"]


def draw(tokens: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many blocks, drawn without repetition."""
    return tokens[torch.randperm(len(tokens), generator=generator)[:count]]


def linears_of(model: nn.Module) -> dict[str, nn.Linear]:
    """The 28 layers that get a width; the output layer shares its weight with the embedding."""
    return ops.linear_layers(model, skip=("lm_head",))


def fisher_costs(
    model: nn.Module, tokens: Tensor, widths: list[int], generator: torch.Generator, draws: int = 4
) -> Costs:
    """Expected divergence to second order, with next tokens drawn from the model itself."""
    layers = linears_of(model)
    caught: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, x, y, name=name: caught.update({name: (x[0].detach(), y)}))
        for name, layer in layers.items()
    ]
    logits = model(input_ids=tokens).logits
    for hook in hooks:
        hook.remove()
    chances = torch.softmax(logits.detach(), -1).flatten(0, 1)
    total = {name: torch.zeros(len(widths), dtype=torch.float64) for name in layers}
    for _ in range(draws):
        drawn = torch.multinomial(chances, 1, generator=generator)
        surprise = -torch.log_softmax(logits.flatten(0, 1), -1).gather(1, drawn).sum()
        slopes = torch.autograd.grad(surprise, [y for _, y in caught.values()], retain_graph=True)
        for (name, (x, _)), slope in zip(caught.items(), slopes, strict=True):
            weight = layers[name].weight.detach()
            for i, bits in enumerate(widths):
                moved = nn.functional.linear(x, on_grid(weight, bits) - weight)
                total[name][i] += (slope * moved).sum(-1).double().square().sum() / (
                    2 * draws * tokens.numel()
                )
    return {name: values.tolist() for name, values in total.items()}


def layer_bytes(layers: dict[str, nn.Linear], widths: list[int]) -> dict[str, list[int]]:
    """Bytes of each layer at each width, scales and zero-points included."""
    return {
        name: [file_bytes({"w": list(layer.weight.shape)}, {"w": bits}, GROUP) for bits in widths]
        for name, layer in layers.items()
    }


def budget(layers: dict[str, nn.Linear], average: float) -> int:
    """Bytes of all layers when their codes take `average` bits a weight."""
    return sum(int(layer.weight.numel() * (average + 24 / GROUP) / 8) for layer in layers.values())


def perplexity(model: nn.Module, allocation: dict[str, int], tokens: Tensor) -> float:
    """Perplexity with each named layer at its width; the model is put back afterwards."""
    layers = linears_of(model)
    original = {name: layers[name].weight.data for name in allocation}
    for name, bits in allocation.items():
        layers[name].weight.data = on_grid(original[name], bits)
    value = evaluation.quality(model, {"input_ids": tokens})[1]
    for name, weight in original.items():
        layers[name].weight.data = weight
    return value


def by_lot(
    layers: dict[str, nn.Linear], low: int, high: int, room: int, generator: torch.Generator
) -> list[dict[str, int]]:
    """Everything at `low`; layers in random order go to `high` while the bytes fit. LOTS allocations."""
    sizes = layer_bytes(layers, [low, high])
    order = [list(layers)[index] for index in torch.randperm(len(layers), generator=generator).tolist()]
    result = []
    for lot in range(LOTS):
        start = lot * len(order) // LOTS
        found, left = dict.fromkeys(layers, low), room - sum(size[0] for size in sizes.values())
        for name in order[start:] + order[:start]:
            more = sizes[name][1] - sizes[name][0]
            if more <= left:
                found[name], left = high, left - more
        result.append(found)
    return result


def rankings(generator: torch.Generator) -> Measured:
    """Notebooks 01 and 02: orders of the 28 layers against KL on other text; baseline: weight error."""
    model = zoo.load("llama").eval()
    layers = linears_of(model)
    names, other = list(layers), draw(blocks("validation"), 8, generator)
    truth = layer_sensitivity(model, names, [{"input_ids": other}], 3, on_grid)
    error = [
        float((on_grid(w, 3) - w).square().sum())
        for w in (layer.weight.detach() for layer in layers.values())
    ]
    own = draw(blocks("train"), 8, generator)
    found = layer_sensitivity(model, names, [{"input_ids": own}], 3, on_grid)
    wanted = [truth[name] for name in names]
    eager = zoo.load("llama", attention="eager").eval()
    curved = linears_of(eager)

    def loss() -> Tensor:
        logits = eager(input_ids=own).logits
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), own[:, 1:].flatten())

    parameters: list[Tensor] = [layer.weight for layer in curved.values()]
    traces = hutchinson_trace(loss, parameters, probes=8, generator=generator)["trace"]
    scores = [
        hawq_score(trace, w, on_grid(w, 3))
        for trace, w in zip(traces, (layer.weight.detach() for layer in curved.values()), strict=True)
    ]
    naive = spearman(wanted, error)
    return {
        "rank correlation with the order on other text": entry(
            spearman(wanted, [found[name] for name in names]), naive, 0.9
        ),
        "rank correlation with what quantizing does": entry(spearman(wanted, scores), naive, 0.8),
    }


def allocations(generator: torch.Generator) -> Measured:
    """Notebook 03: the cheapest allocation against uniform widths, on validation text."""
    model = zoo.load("llama").eval()
    layers = linears_of(model)
    costs = fisher_costs(model, draw(blocks("train"), 16, generator), WIDTHS, generator)
    sizes = layer_bytes(layers, WIDTHS)
    tokens = draw(blocks("validation"), 192, generator)
    full = perplexity(model, {}, tokens)
    result: Measured = {}
    for average, limit in ((2.5, 1.35), (3.5, 1.05)):
        room, low = budget(layers, average), int(average)
        best = perplexity(model, allocate_dp(costs, sizes, WIDTHS, room), tokens)
        lots = [perplexity(model, lot, tokens) for lot in by_lot(layers, low, low + 1, room, generator)]
        label = f"perplexity over float32's, {average} bits"
        result[label] = entry(best / full, mean(lots) / full, limit, "at_most", scale="log")
    return result


def ladders(generator: torch.Generator) -> Measured:
    """Notebook 04: the ladder from four to eight bits a quarter of the way up, against four bits everywhere."""
    model = zoo.load("llama").eval()
    layers = linears_of(model)
    costs = fisher_costs(model, draw(blocks("train"), 16, generator), [4, 8], generator)
    sizes = layer_bytes(layers, [4, 8])
    tokens = draw(blocks("validation"), 192, generator)
    full = perplexity(model, {}, tokens)
    low, high = (sum(size[end] for size in sizes.values()) for end in (0, 1))
    rungs = precision_ladder(costs, sizes, 4, 8)
    used = [sum(sizes[name][rung[name] == 8] for name in rung) for rung in rungs]
    place = next(i for i, count in enumerate(used) if count >= low + (high - low) / 4)
    best = perplexity(model, rungs[place], tokens)
    four = perplexity(model, rungs[0], tokens)
    return {
        "perplexity over float32's a quarter of the way": entry(
            best / full, four / full, 1.014, "at_most", scale="log"
        )
    }


def mixed_precision(seed: int) -> Measured:
    """Every measured check of Lab 3.4 under one seed."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    result: Measured = {}
    for part in (rankings, allocations, ladders):
        result.update(part(generator))
    return result
