"""The wire between a grade cell and student code: plain values only, never pickle.

A value is a tensor, None, a bool, an int, a float, a string, or a list, tuple or dict of values.
NumPy arrays and scalars are sent as tensors and numbers. A message is base64 text of

    8 bytes: length of the tree | tree (JSON) | tensors (safetensors)

Everything about a message is checked before memory is taken for it: its length, its depth, the
number of nodes, each tensor's dtype and the byte count its shape asks for.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import load, save

MAXIMUM_BYTES = 64 << 20
"""Largest message, before base64."""
MAXIMUM_DEPTH = 20
MAXIMUM_NODES = 200_000
MAXIMUM_DIMENSIONS = 16

DTYPES = {
    "F64": (torch.float64, 8), "F32": (torch.float32, 4), "F16": (torch.float16, 2), "BF16": (torch.bfloat16, 2),
    "I64": (torch.int64, 8), "I32": (torch.int32, 4), "I16": (torch.int16, 2), "I8": (torch.int8, 1),
    "U8": (torch.uint8, 1), "BOOL": (torch.bool, 1),
}  # fmt: skip
"""Tensor types that may cross, by their safetensors name, with bytes per element."""


class NotAValue(ValueError):
    """What was sent or received is not a value: wrong type, too deep, too large, or malformed."""


def encode(value: object, *, reference: Callable[[object], str | None] | None = None) -> str:
    """Encode a value. `reference` names an object that crosses by name instead (a proxy), or None.

    Raises NotAValue with the type that cannot cross.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _Encoder(tensors, reference).node(value, 0)
    head = json.dumps(tree, allow_nan=False).encode()
    body = save(tensors) if tensors else b""
    if len(head) + len(body) > MAXIMUM_BYTES:
        raise NotAValue(
            f"a value of {(len(head) + len(body)) >> 20} MiB is over the limit of {MAXIMUM_BYTES >> 20} MiB"
        )
    return base64.b64encode(len(head).to_bytes(8, "little") + head + body).decode("ascii")


def decode(message: str, *, names: Mapping[str, object] | None = None, finite: bool = True) -> Any:
    """Decode a message. `names` resolves references; without it a reference is refused.

    `finite` refuses NaN and infinity, in numbers and tensors. Raises NotAValue.
    """
    if len(message) > MAXIMUM_BYTES * 4 // 3 + 64:
        raise NotAValue(f"the message is over the limit of {MAXIMUM_BYTES >> 20} MiB")
    try:
        raw = base64.b64decode(message, validate=True)
        length = int.from_bytes(raw[:8], "little")
        if not 8 <= 8 + length <= len(raw):
            raise NotAValue("the message is cut short")
        tree = json.loads(raw[8 : 8 + length])
        body = raw[8 + length :]
        tensors = _tensors(body) if body else {}
        return _Decoder(tensors, names, finite).value(tree, 0)
    except NotAValue:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
        OverflowError,
        binascii.Error,
        AttributeError,
    ) as error:
        raise NotAValue(f"the message is malformed ({type(error).__name__})") from error


def _tensors(body: bytes) -> dict[str, torch.Tensor]:
    """Read a safetensors block after checking its header against its own length."""
    length = int.from_bytes(body[:8], "little")
    if not 0 < length <= len(body) - 8:
        raise NotAValue("the tensor block is cut short")
    header = json.loads(body[8 : 8 + length])
    available = len(body) - 8 - length
    for name, entry in header.items():
        if name == "__metadata__":
            raise NotAValue("a tensor block carries no metadata")
        if entry["dtype"] not in DTYPES:
            raise NotAValue(f"tensors of type {str(entry['dtype'])[:20]} cannot cross")
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        if len(shape) > MAXIMUM_DIMENSIONS:
            raise NotAValue(f"a tensor has more than {MAXIMUM_DIMENSIONS} dimensions")
        if any(type(size) is not int or size < 0 for size in [*shape, begin, end]):
            raise NotAValue("a tensor's shape is not a list of sizes")
        if end - begin != math.prod(shape) * DTYPES[entry["dtype"]][1] or end > available:
            raise NotAValue("a tensor's bytes do not match its shape")
    try:
        return dict(load(body))
    except Exception as error:  # safetensors raises its own type, which is not public in every version
        raise NotAValue("the tensor block is malformed") from error


class _Encoder:
    def __init__(
        self, tensors: dict[str, torch.Tensor], reference: Callable[[object], str | None] | None
    ) -> None:
        self.tensors = tensors
        self.reference = reference
        self.nodes = 0

    def node(self, value: object, depth: int) -> dict[str, Any]:
        self.nodes += 1
        if depth > MAXIMUM_DEPTH or self.nodes > MAXIMUM_NODES:
            raise NotAValue(
                f"a value is nested deeper than {MAXIMUM_DEPTH} or has over {MAXIMUM_NODES} parts"
            )
        if self.reference is not None and (name := self.reference(value)) is not None:
            return {"reference": name}
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if value is None or isinstance(value, (bool, str)):
            return {"plain": value if value is None or isinstance(value, bool) else str(value)}
        if isinstance(value, int):
            return {"plain": int(value)}
        if isinstance(value, float):
            return {"float": float(value).hex()}
        if isinstance(value, (list, tuple)):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self.node(item, depth + 1) for item in value]}
        if isinstance(value, dict):
            return {
                "dict": [
                    [self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in value.items()
                ]
            }
        if type(value).__module__ == "numpy":
            return self.numpy(value, depth)
        raise NotAValue(
            f"a {type(value).__name__} cannot cross: return tensors, numbers, strings, lists or dicts of them"
        )

    def numpy(self, value: Any, depth: int) -> dict[str, Any]:
        if getattr(value, "ndim", 0) == 0 and hasattr(value, "item"):
            return self.node(value.item(), depth)
        if value.dtype.kind == "u" and value.dtype.itemsize > 1:
            value = value.astype("int64")  # torch has no wide unsigned types
        return self.tensor(torch.as_tensor(value.copy()))  # a copy, because torch refuses negative strides

    def tensor(self, value: torch.Tensor) -> dict[str, Any]:
        if value.dtype not in [dtype for dtype, _ in DTYPES.values()]:
            raise NotAValue(f"a tensor of type {value.dtype} cannot cross")
        key = f"t{len(self.tensors)}"
        self.tensors[key] = value.detach().to("cpu").contiguous().clone()
        return {"tensor": key}


class _Decoder:
    def __init__(
        self, tensors: dict[str, torch.Tensor], names: Mapping[str, object] | None, finite: bool
    ) -> None:
        self.tensors = tensors
        self.names = names
        self.finite = finite
        self.nodes = 0

    def value(self, node: dict[str, Any], depth: int) -> Any:
        self.nodes += 1
        if depth > MAXIMUM_DEPTH or self.nodes > MAXIMUM_NODES:
            raise NotAValue(
                f"a value is nested deeper than {MAXIMUM_DEPTH} or has over {MAXIMUM_NODES} parts"
            )
        if not isinstance(node, dict) or len(node) != 1:
            raise NotAValue("a node is not a single entry")
        ((kind, content),) = node.items()
        if kind == "tensor":
            return self.tensor(content)
        if kind == "plain":
            if type(content) not in (type(None), bool, int, str):
                raise NotAValue("a plain value is None, a bool, an int or a string")
            return content
        if kind == "float":
            number = float.fromhex(content)
            if self.finite and not math.isfinite(number):
                raise NotAValue(f"the number is {number}")
            return number
        if kind == "list":
            return [self.value(item, depth + 1) for item in content]
        if kind == "tuple":
            return tuple(self.value(item, depth + 1) for item in content)
        if kind == "dict":
            return {self.value(key, depth + 1): self.value(item, depth + 1) for key, item in content}
        if kind == "reference" and self.names is not None:
            if content not in self.names:
                raise NotAValue(f"{str(content)[:80]} is not defined in the notebook")
            return self.names[content]
        raise NotAValue(f"unknown kind {str(kind)[:20]!r}")

    def tensor(self, key: str) -> torch.Tensor:
        tensor = self.tensors.pop(key)  # each is sent once, so that none is checked a thousand times
        if self.finite and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotAValue("a tensor holds NaN or infinity")
        return tensor
