"""Dynamic quantization: weights are quantized once, inputs anew in every call."""

import copy
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn


class DynamicQuantLinear(nn.Module):
    """A linear layer with an 8-bit weight that finds its input's scale in every call.

    Dettmers et al. 2022, LLM.int8() (arXiv 2208.07339), section 3.1; Yao et al. 2022, ZeroQuant
    (arXiv 2206.01861), section 4.2.
    """

    def __init__(self, linear: nn.Linear, *, granularity: str = "token") -> None:
        """Quantize the weight of `linear`, once.

        Args:
            linear: the layer to replace, with or without bias. Later changes to it have no effect
                on this layer.
            granularity: "tensor" for one scale over the whole input, "token" for one scale for
                each vector along the last dimension. Anything else raises `ValueError`.

        Registers as buffers, and nothing else: `weight_codes` (out, in) int8, symmetric, codes
        -127 .. 127; `weight_scale` (out,) float32, one scale an output channel, 1 for a row of
        zeros; `bias` (out,) float32, or None (`register_buffer("bias", None)` is allowed).
        """
        super().__init__()
        ### BEGIN SOLUTION
        if granularity not in ("tensor", "token"):
            raise ValueError(f"granularity must be 'tensor' or 'token', not {granularity!r}")
        self.granularity = granularity
        weight = linear.weight.detach()
        scale = weight.abs().amax(dim=1) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        self.register_buffer("weight_codes", torch.round(weight / scale[:, None]).to(torch.int8))
        self.register_buffer("weight_scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) float32 to (..., out) float32.

        The input is quantized symmetrically to codes -127 .. 127 with s_x = max|x| / 127, taken over
        the whole of `x` ("tensor") or over the last dimension ("token"); where that maximum is 0,
        s_x is 1. Nothing is remembered from one call to the next. Then

            y = s_x * s_w * (sum over k of x_codes[..., k] * weight_codes[:, k]) + bias

        The sum of products may be taken in float32, which is exact up to 1,040 inputs.
        """
        ### BEGIN SOLUTION
        largest = x.abs().amax() if self.granularity == "tensor" else x.abs().amax(dim=-1, keepdim=True)
        x_scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
        x_codes = torch.round(x / x_scale)
        y = x_scale * self.weight_scale * (x_codes @ self.weight_codes.to(x.dtype).T)
        return y if self.bias is None else y + self.bias
        ### END SOLUTION


def quantize_dynamic(model: nn.Module, *, granularity: str = "token") -> nn.Module:
    """Return a copy of `model` in which every `nn.Linear`, at any depth, is a `DynamicQuantLinear`.

    Args:
        model: any module that is not itself a linear layer. It is left as it was.
        granularity: passed on to each layer.

    Returns:
        A deep copy. Every submodule of the copy is in the mode its original was in (a new module starts
        in train mode). Embeddings, norms and everything else that is no linear layer stay in float32.
    """
    ### BEGIN SOLUTION
    quantized = copy.deepcopy(model)
    linears = [(name, layer) for name, layer in quantized.named_modules() if isinstance(layer, nn.Linear)]
    for name, layer in linears:
        parent, _, last = name.rpartition(".")
        replacement = DynamicQuantLinear(layer, granularity=granularity).train(layer.training)
        setattr(quantized.get_submodule(parent), last, replacement)
    return quantized
    ### END SOLUTION


def benchmark(
    fn: Callable[[], object], clock: Callable[[], float], *, warmup: int = 3, repeats: int = 20
) -> dict[str, float]:
    """Time a callable so that one slow call does not decide.

    Args:
        fn: what to time, called without arguments.
        clock: returns seconds as a float, like `time.perf_counter`. It may be read only directly
            before and directly after each measured call.
        warmup: calls that are made first and not timed: caches fill, memory is allocated.
        repeats: measured calls, at least 1; fewer raise `ValueError`.

    Returns:
        `{"median": ..., "fastest": ..., "slowest": ...}` of the measured calls, in milliseconds.
        The median of an even number of calls is the mean of the middle two.
    """
    ### BEGIN SOLUTION
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        start = clock()
        fn()
        times.append(1000 * (clock() - start))
    return {"median": statistics.median(times), "fastest": min(times), "slowest": max(times)}
    ### END SOLUTION
