"""Outlier channels as large language models have them, without changing what the model computes.

Large models have a few hidden channels with values tens of times larger than the others (Dettmers et al.
2022, arXiv 2208.07339). They are what makes naive 8-bit activations fail, and what AWQ and SmoothQuant are
for. Tiny models grow none. So some channels of each norm, and some rows of each up projection, are multiplied
by 32, and the columns of the linear layers that read them are divided by 32.

32 is a power of two: multiplying a float by it changes the exponent only, products and sums keep every bit
(no value here is near the ends of the float32 range), and the logits are equal bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

FACTOR = 32.0
NORM_SHARE = 6 / 128
UP_SHARE = 12 / 384
SEED = 0


def add_outlier_channels(model: nn.Module, *, factor: float = FACTOR, seed: int = SEED) -> nn.Module:
    """Scale some channels of a Llama up and their readers down, in place, and return the model.

    In every decoder layer: 6 of 128 channels of both RMSNorm weights (against the columns of q, k, v and of
    gate, up) and 12 of 384 rows of the up projection (against the columns of the down projection). Other
    widths use the same shares.

    Args:
        model: a ``LlamaForCausalLM`` or another decoder with the same layer names.
        factor: a power of two keeps the function bit for bit.
        seed: chooses the channels.

    Raises:
        ValueError: ``factor`` is not a positive power of two.
    """
    import math

    import torch

    if factor <= 0 or math.frexp(factor)[0] != 0.5:
        raise ValueError(f"factor {factor} is not a power of two, so the function would change by rounding")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in cast(Any, model).model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            _move(
                layer.input_layernorm.weight,
                [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight],
                NORM_SHARE, factor, generator,
            )  # fmt: skip
            _move(
                layer.post_attention_layernorm.weight,
                [mlp.gate_proj.weight, mlp.up_proj.weight],
                NORM_SHARE, factor, generator,
            )  # fmt: skip
            _move(mlp.up_proj.weight, [mlp.down_proj.weight], UP_SHARE, factor, generator)
    return model


def outlier_channels(width: int, share: float, generator: Generator) -> Tensor:
    """Return the indices of ``share`` of ``width`` channels, at least one, drawn from ``generator``."""
    import torch

    return torch.randperm(width, generator=generator)[: max(1, round(share * width))]


def _move(
    producer: Tensor, consumers: list[Tensor], share: float, factor: float, generator: Generator
) -> None:
    channels = outlier_channels(producer.shape[0], share, generator)
    producer[channels] *= factor
    for weight in consumers:
        weight[:, channels] /= factor
