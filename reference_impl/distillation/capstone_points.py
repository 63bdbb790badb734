"""The capstone's points of reference: one technique alone, and the combination, on held-out pictures.

    python -m reference_impl.distillation.capstone_points      # about two minutes of one core

prints a Markdown table; kept and score are means and ranges over three secrets of the transformation.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from labkit.capstone.artifact import read_artifact
from labkit.capstone.decoder import rebuild
from labkit.capstone.score import score, transformed
from safetensors.torch import save_file
from torch import Tensor, nn

from heldout import fashion
from labkit import data, evaluation, runtime, training, zoo
from reference_impl.distillation.capstone import compress, shrink, store_integer, store_sparse
from reference_impl.distillation.temperature import kd_loss
from reference_impl.measured import mean

FULL = {"num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
SMALL = FULL | {"num_hidden_layers": 2, "intermediate_size": 64}
SECRETS = (1, 2, 3)


def stored_at(
    network: nn.Module, bits: int, config: dict[str, int], sparsity: float = 0.0
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A network's matrices at so many bits, the smallest weights of each left out, everything else float16."""
    entries: dict[str, Any] = {}
    stored: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if value.dim() != 2 or bits == 16:
            entries[name], parts = {"encoding": "dense", "data": name}, {name: value.half()}
        elif sparsity:
            keep = value.abs() > value.abs().flatten().kthvalue(int(sparsity * value.numel())).values
            entries[name], parts = store_sparse(name, value, keep, bits)
        else:
            entries[name], parts = store_integer(name, value, bits)
        stored |= parts
    return {"format": 1, "model": "vit", "config": config, "tensors": entries}, stored


def unmoved() -> nn.Module:
    """The student of `compress`, distilled on the training pictures as they are."""
    teacher = zoo.load("vit")
    student = shrink(teacher, [0, 1], 64)

    def distance(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            target = teacher(pixel_values=batch["pixel_values"]).logits
        return kd_loss(network(pixel_values=batch["pixel_values"]).logits, target, 2.0)

    rows = data.tensors(data.fashion()["train"])
    training.fit(student, rows, steps=150, learning_rate=2e-3, criterion=distance)
    return student


def rebuilt(manifest: dict[str, Any], stored: dict[str, Tensor]) -> tuple[nn.Module, int]:
    """The network that the two files hold, and the bytes of the tensor file."""
    with tempfile.TemporaryDirectory() as folder:
        save_file(
            {name: tensor.contiguous() for name, tensor in stored.items()},
            f"{folder}/submission.safetensors",
        )
        Path(folder, "manifest.json").write_text(json.dumps(manifest), "utf-8")
        artifact = read_artifact(Path(folder))
    return rebuild(artifact), artifact.size


def main() -> None:
    """Print a row for each point."""
    runtime.start(seed=0)
    base = zoo.load("vit")
    pictures = [transformed(data.tensors(fashion()), secret) for secret in SECRETS]
    goals = [evaluation.quality(base, rows)[1] for rows in pictures]
    public = data.tensors(data.fashion()["validation"])
    print("| | bytes | times smaller | kept | score | public accuracy |\n|---|---|---|---|---|---|")
    points = {f"{bits} bits alone": stored_at(base, bits, FULL) for bits in (16, 8, 6, 5, 4, 3, 2)}
    points |= {
        f"{sparsity:.0%} removed, 4 bits": stored_at(base, 4, FULL, sparsity) for sparsity in (0.3, 0.5)
    }
    points["two layers, 64 units, distilled, 4 bits"] = compress(0)
    points["the same, distilled on pictures as they are"] = stored_at(unmoved(), 4, SMALL)
    for name, point in points.items():
        network, size = rebuilt(*point)
        kept = [
            evaluation.quality(network, rows)[1] / goal for rows, goal in zip(pictures, goals, strict=True)
        ]
        ratio = evaluation.stored_bytes(base) / size
        scores = [score(share, ratio) for share in kept]
        print(
            f"| {name} | {size:,} | {ratio:.2f} | {mean(kept):.3f} ({min(kept):.3f} to {max(kept):.3f}) | "
            f"{mean(scores):.2f} | {evaluation.quality(network, public)[1]:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
