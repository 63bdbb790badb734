"""From stored integers, scales and bitmaps back to a network.

Three encodings, described for students in ``docs/capstone.md``:

dense    the values themselves, float16, bfloat16 or float32, in the parameter's shape;
integer  codes of b bits, packed without gaps, and value = scale * (code - zero point);
sparse   a bitmap of the places that are not zero, and the values at these places, dense or integer.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import Tensor, nn

from labkit import zoo
from labkit.capstone.artifact import Artifact, ArtifactError

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


def rebuild(artifact: Artifact) -> nn.Module:
    """Build the network that a hand-in describes, in eval mode.

    Raises:
        ArtifactError: a parameter is missing or unknown, a tensor does not fit, is not finite, is used twice or is
            not used.
    """
    config = artifact.manifest["config"]
    if config["hidden_size"] % config["num_attention_heads"]:
        raise ArtifactError("hidden_size must be a multiple of num_attention_heads")
    network = zoo.build("vit", **config)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    entries: dict[str, Any] = artifact.manifest["tensors"]
    _same_names(set(entries), set(shapes), "parameters of the network")
    used: list[str] = []
    state = {}
    for name, shape in shapes.items():
        state[name] = _decode(_Stored(artifact.stored, used, name), entries[name], shape)
    twice = {key for key in used if used.count(key) > 1}
    if twice:
        raise ArtifactError(f"stored tensors used more than once: {_some(twice)}")
    _same_names(set(used), set(artifact.stored), "stored tensors")
    network.load_state_dict(state)
    return network.eval()


class _Stored:
    """Stored tensors of one parameter; remembers which were asked for."""

    def __init__(self, tensors: dict[str, Tensor], used: list[str], parameter: str) -> None:
        self.tensors, self.used, self.parameter = tensors, used, parameter

    def error(self, text: str) -> ArtifactError:
        return ArtifactError(f"{self.parameter}: {text}")

    def take(self, key: str, dtypes: tuple[torch.dtype, ...]) -> Tensor:
        """The tensor under a key; refuses another dtype, and values that are not finite."""
        if key not in self.tensors:
            raise self.error(f"there is no stored tensor {key!r}")
        self.used.append(key)
        tensor = self.tensors[key]
        if tensor.dtype not in dtypes:
            raise self.error(f"{key!r} is {tensor.dtype}, not one of {', '.join(map(str, dtypes))}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise self.error(f"{key!r} holds NaN or infinity")
        return tensor


def _decode(stored: _Stored, entry: dict[str, Any], shape: tuple[int, ...]) -> Tensor:
    if entry["encoding"] == "sparse":
        value = _sparse(stored, entry, shape)
    elif entry["encoding"] == "integer":
        value = _integer(stored, entry, shape)
    else:
        value = _dense(stored, entry, shape)
    if not bool(torch.isfinite(value).all()):
        raise stored.error("a decoded value is not finite")
    return value


def _dense(stored: _Stored, entry: dict[str, Any], shape: tuple[int, ...]) -> Tensor:
    value = stored.take(entry["data"], FLOATS)
    if tuple(value.shape) != shape:
        raise stored.error(f"{entry['data']!r} has the shape {tuple(value.shape)}, not {shape}")
    return value.float()


def _integer(stored: _Stored, entry: dict[str, Any], shape: tuple[int, ...]) -> Tensor:
    """Codes times scales. One scale, one a row, or one for each group of neighbours in a row."""
    bits, count = entry["bits"], _product(shape)
    codes = _unpack(stored, entry["data"], count, bits).reshape(shape)
    scale = stored.take(entry["scale"], FLOATS).float()
    if "zero_point" in entry:
        zero = stored.take(entry["zero_point"], (torch.uint8,))
        if zero.shape != scale.shape:
            raise stored.error("zero_point must have the shape of scale")
    else:
        zero = torch.full_like(scale, 2 ** (bits - 1))
    rows = codes.reshape(shape[0], -1)
    if scale.numel() == 1:
        scales, zeros = scale.reshape(1, 1), zero.reshape(1, 1)
    elif (
        scale.dim() in (1, 2)
        and scale.shape[0] == shape[0]
        and rows.shape[1] % (scale.numel() // shape[0]) == 0
    ):
        group = rows.shape[1] // (scale.numel() // shape[0])
        scales, zeros = (part.reshape(shape[0], -1).repeat_interleave(group, dim=1) for part in (scale, zero))
    else:
        raise stored.error(
            f"scale has the shape {tuple(scale.shape)}; one value, ({shape[0]},) or ({shape[0]}, groups) is possible"
        )
    return (scales * (rows - zeros.float())).reshape(shape)


def _sparse(stored: _Stored, entry: dict[str, Any], shape: tuple[int, ...]) -> Tensor:
    kept = _unpack(stored, entry["mask"], _product(shape), 1).bool()
    if not bool(kept.any()):
        raise stored.error("the bitmap keeps nothing; at least one value must stay")
    full = torch.zeros(len(kept))
    full[kept] = _decode(stored, entry["values"], (int(kept.sum()),))
    return full.reshape(shape)


def _unpack(stored: _Stored, key: str, count: int, bits: int) -> Tensor:
    """Codes of `bits` bits, lowest bit first, one after the other; the last byte is filled up with zeros."""
    packed = stored.take(key, (torch.uint8,))
    size = -(-count * bits // 8)
    if tuple(packed.shape) != (size,):
        raise stored.error(
            f"{key!r} has the shape {tuple(packed.shape)}; {count} codes of {bits} bits take ({size},)"
        )
    stream = numpy.unpackbits(packed.numpy(), bitorder="little")
    if stream[count * bits :].any():
        raise stored.error(f"{key!r}: bits after the last code must be 0")
    codes = stream[: count * bits].reshape(count, bits) @ (1 << numpy.arange(bits))
    return torch.from_numpy(codes.astype(numpy.float32))


def _product(shape: tuple[int, ...]) -> int:
    return int(numpy.prod(shape))


def _same_names(given: set[str], wanted: set[str], what: str) -> None:
    if given - wanted:
        raise ArtifactError(f"{what}: unknown {_some(given - wanted)}")
    if wanted - given:
        raise ArtifactError(f"{what}: not in the manifest {_some(wanted - given)}")


def _some(names: set[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
