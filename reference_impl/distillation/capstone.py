"""From a network to the two files of a capstone hand-in, and one way to make the network small first.

The format is described in `docs/capstone.md`; `labkit.capstone` reads it. Deep compression (Han et al. 2015, arXiv
1510.00149) is the early example of combining techniques.
"""

from typing import Any

import torch
from labkit.capstone.score import transformed
from torch import Tensor, nn

from labkit import data, training, zoo


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Put codes of a few bits one after the other, without gaps, into bytes.

    Bit j of code i is bit i * bits + j of the stream, and bit k of the stream is bit k % 8 of byte k // 8; bit 0 is
    the lowest. What is left of the last byte is 0.

    Args:
        codes: integers 0 to 2**bits - 1 of any shape and dtype, read in row-major order; bool counts as 0 and 1.
        bits: 1 to 8.

    Returns:
        uint8 (ceil(codes.numel() * bits / 8),).
    """
    ### BEGIN SOLUTION
    stream = ((codes.flatten().to(torch.int64).unsqueeze(1) >> torch.arange(bits)) & 1).flatten()
    padded = nn.functional.pad(stream, (0, -len(stream) % 8)).reshape(-1, 8)
    return (padded << torch.arange(8)).sum(dim=1).to(torch.uint8)
    ### END SOLUTION


def store_integer(name: str, weight: Tensor, bits: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Round a weight to integers of a few bits, a scale for each row, and pack them.

    The grid is symmetric with top = 2**(bits - 1) - 1 steps to each side. The scale of row r is the largest
    absolute value of weight[r] over top, as float16 (1 where that is 0 in float16); the integer is weight / scale
    rounded to the nearest, ties to even, with the float16 scale, and clamped to -top .. top; the code is that integer
    plus 2**(bits - 1). A weight with one axis has one scale for all its entries.

    Args:
        name: of the parameter; stored tensors are called name + ".codes" and name + ".scale".
        weight: float32 (out, ...), or (n,).
        bits: 2 to 8.

    Returns:
        The manifest's entry, {"encoding": "integer", "bits": bits, "data": ..., "scale": ...}, and the stored tensors:
        codes as of `pack_codes`, scales float16 (out,) or (1,).
    """
    ### BEGIN SOLUTION
    top = 2 ** (bits - 1) - 1
    rows = weight.reshape(1 if weight.dim() == 1 else weight.shape[0], -1)
    scale = (rows.abs().amax(dim=1) / top).half()
    scale = torch.where(scale > 0, scale, 1.0)
    integers = (rows / scale.float().unsqueeze(1)).round().clamp(-top, top)
    entry = {"encoding": "integer", "bits": bits, "data": f"{name}.codes", "scale": f"{name}.scale"}
    return entry, {
        f"{name}.codes": pack_codes(integers + 2 ** (bits - 1), bits),
        f"{name}.scale": scale,
    }
    ### END SOLUTION


def store_sparse(
    name: str, weight: Tensor, keep: Tensor, bits: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Store a bitmap of the weights that stay, and these weights as integers.

    Args:
        name: of the parameter; the bitmap is called name + ".mask".
        weight: float32, any shape.
        keep: bool, of that shape; true where a weight stays, at least once.
        bits: 2 to 8.

    Returns:
        The manifest's entry, {"encoding": "sparse", "mask": ..., "values": ...}, and the stored tensors: the bitmap
        packed as codes of one bit, and the kept weights, in row-major order, as of `store_integer` for one axis,
        whose entry is "values".
    """
    ### BEGIN SOLUTION
    values, stored = store_integer(name, weight[keep], bits)
    entry = {"encoding": "sparse", "mask": f"{name}.mask", "values": values}
    return entry, {f"{name}.mask": pack_codes(keep, 1), **stored}
    ### END SOLUTION


def shrink(teacher: nn.Module, layers: list[int], units: int) -> nn.Module:
    """Make a smaller ViT of some of a larger one's layers, each with its most important inner units.

    A unit's importance is the Euclidean norm of its row of `mlp.fc1.weight` times that of its column of
    `mlp.fc2.weight`. Units keep their order. Everything else is copied.

    Args:
        teacher: a `ViTForImageClassification`; it is not changed, and shares no memory with the result.
        layers: which of its layers, in this order.
        units: inner units that stay in each, at most as many as there are.

    Returns:
        A network of the same kind with len(layers) layers of `units` inner units.
    """
    ### BEGIN SOLUTION
    config, source = teacher.config, teacher.state_dict()
    small = type(teacher)(
        type(config)(**{**config.to_dict(), "num_hidden_layers": len(layers), "intermediate_size": units})
    )
    state = {}
    for key in small.state_dict():
        parts = key.split(".")
        if "layers" in parts:
            parts[2] = str(layers[int(parts[2])])
        value = source[".".join(parts)]
        if "mlp" in parts:
            mlp = ".".join(parts[:3]) + ".mlp"
            importance = source[f"{mlp}.fc1.weight"].norm(dim=1) * source[f"{mlp}.fc2.weight"].norm(dim=0)
            chosen = importance.topk(units).indices.sort().values
            if "fc1" in parts:
                value = value[chosen]
            elif value.dim() == 2:
                value = value[:, chosen]
        state[key] = value.clone()
    small.load_state_dict(state)
    return small
    ### END SOLUTION


def compress(seed: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Compress the course's ViT by any means, and describe the result.

    There is no one right answer. For full points the result keeps 90% of the accuracy on moved and mirrored pictures
    and has a score (share kept times ratio of the files) of 15. It may take about 20 seconds of one core; what you
    train longer elsewhere, hand in as files.

    Args:
        seed: of whatever is random in it.

    Returns:
        The manifest, {"format": 1, "model": "vit", "config": {...}, "tensors": {...}}, with "nickname" if you like,
        and the stored tensors.
    """
    ### BEGIN SOLUTION
    teacher = zoo.load("vit")
    student = shrink(teacher, [0, 1], 64)
    rows = transformed(data.tensors(data.fashion()["train"]), seed)

    def distance(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            target = (teacher(pixel_values=batch["pixel_values"]).logits / 2).softmax(dim=-1)
        own = (network(pixel_values=batch["pixel_values"]).logits / 2).log_softmax(dim=-1)
        return 4 * nn.functional.kl_div(own, target, reduction="batchmean")

    training.fit(student, rows, steps=150, learning_rate=2e-3, seed=seed, criterion=distance)
    entries: dict[str, Any] = {}
    stored: dict[str, Tensor] = {}
    for name, value in student.state_dict().items():
        if value.dim() == 2:
            entries[name], tensors = store_integer(name, value, 4)
        else:
            entries[name], tensors = {"encoding": "dense", "data": name}, {name: value.half()}
        stored |= tensors
    config = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 4,
    }
    return {"format": 1, "model": "vit", "config": config, "tensors": entries}, stored
    ### END SOLUTION
