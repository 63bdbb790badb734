"""Six subnets trained alone: `python -m reference_impl.pruning.standalone` prints what notebook 01 of Lab 3.8 shows."""

import torch

from heldout import fashion
from labkit import data, evaluation, training, zoo

SIX = [
    {"heads": [1], "ffn": [32]},
    {"heads": [4], "ffn": [256]},
    {"heads": [2, 2, 2], "ffn": [64, 64, 64]},
    {"heads": [4, 4, 4], "ffn": [256, 256, 256]},
    {"heads": [1] * 6, "ffn": [32] * 6},
    {"heads": [4] * 6, "ffn": [256] * 6},
]


def alone(subnet: dict[str, list[int]], seed: int) -> list[float]:
    """Accuracy on the validation and on the test pictures of a subnet that never saw another one."""
    model = zoo.build("supernet", seed=seed, **subnet)
    splits = data.fashion()
    training.fit(model, data.tensors(splits["train"]), steps=800, learning_rate=2e-3, seed=seed)
    rows = (data.tensors(splits["validation"]), data.tensors(fashion()))
    return [evaluation.quality(model, part)[1] for part in rows]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for subnet in SIX:
        runs = torch.tensor([alone(subnet, seed) for seed in range(3)])
        means, spread = runs.mean(0).tolist(), runs.std(0).tolist()
        print(f"{subnet}: validation {means[0]:.4f} ± {spread[0]:.4f}, test {means[1]:.4f} ± {spread[1]:.4f}")
