"""Whole language models compressed with the functions of Lab 3.3, for measurements outside the notebooks."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from labkit import ops
from reference_impl.quantization.gptq import gptq_quantize, hessian
from reference_impl.quantization.groupwise import dequantize_groupwise
from reference_impl.quantization.smoothquant import w8a8_linear

Fold = Callable[[list[Tensor], list[Tensor], Tensor], tuple[list[Tensor], list[Tensor]]]
SHARED_INPUT = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
FOLDS = (
    ("input_layernorm", SHARED_INPUT[0]),
    ("post_attention_layernorm", SHARED_INPUT[2]),
    ("mlp.up_proj", SHARED_INPUT[3]),
)


class EightBitLinear(nn.Module):
    """A linear layer without bias that runs `w8a8_linear` over a calibrated range."""

    def __init__(self, weight: Tensor, x_max: float | None) -> None:
        """Keep the weight (out, in) and the largest input seen, or None for a range of each token's own."""
        super().__init__()
        self.weight, self.x_max = weight, x_max

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return w8a8_linear(x.flatten(0, -2), self.weight, self.x_max).reshape(*x.shape[:-1], -1)


def rounded(network: nn.Module, bits: int, group_size: int) -> nn.Module:
    """A copy with all linear layers rounded to nearest."""
    changed = copy.deepcopy(network)
    for layer in ops.linear_layers(changed, skip=("lm_head",)).values():
        layer.weight.data = ops.snap_groups(layer.weight.detach(), bits, group_size)
    return changed


def by_gptq(
    network: nn.Module, batches: list[dict[str, Tensor]], bits: int, group_size: int = 128
) -> nn.Module:
    """A copy quantized by GPTQ, layer by layer in the order they run."""
    changed = copy.deepcopy(network)
    for number in range(len(changed.model.layers)):
        for group in SHARED_INPUT:
            names = [f"model.layers.{number}.{name}" for name in group]
            inputs = ops.layer_inputs(changed, names[:1], batches)[names[0]]
            for name in names:
                layer = changed.get_submodule(name)
                parts = gptq_quantize(
                    layer.weight.detach(), hessian([inputs]), bits=bits, group_size=group_size
                )
                layer.weight.data = dequantize_groupwise(parts["q"], parts["scale"], parts["zero"])
    return changed


def folded(network: nn.Module, batches: list[dict[str, Tensor]], fold: Fold) -> nn.Module:
    """A copy with `fold(producers, readers, inputs)` applied wherever a norm or up projection allows it.

    Folding preserves the function, so the inputs are those of the network as it came.
    """
    changed = copy.deepcopy(network)
    numbers = range(len(changed.model.layers))
    watched = [f"model.layers.{number}.{after[0]}" for number in numbers for _, after in FOLDS]
    seen = ops.layer_inputs(changed, watched, batches)
    for number in numbers:
        for before, after in FOLDS:
            producer = changed.get_submodule(f"model.layers.{number}.{before}")
            readers = [changed.get_submodule(f"model.layers.{number}.{name}") for name in after]
            inputs = seen[f"model.layers.{number}.{after[0]}"]
            weights = [reader.weight.detach() for reader in readers]
            made, read = fold([producer.weight.detach()], weights, inputs)
            producer.weight.data = made[0]
            for reader, weight in zip(readers, read, strict=True):
                reader.weight.data = weight
    return changed


def in_eight_bits(
    network: nn.Module, batches: list[dict[str, Tensor]], *, per_token: bool = False
) -> nn.Module:
    """A copy whose linear layers multiply 8-bit inputs by 8-bit weights; one grid a layer, or one a token."""
    changed = copy.deepcopy(network)
    names = list(ops.linear_layers(changed, skip=("lm_head",)))
    for name, inputs in ops.layer_inputs(changed, names, batches).items():
        weight = changed.get_submodule(name).weight.detach()
        ops.set_module(
            changed, name, EightBitLinear(weight, None if per_token else inputs.abs().max().item())
        )
    return changed
