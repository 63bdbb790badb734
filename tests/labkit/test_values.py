"""The wire: every value comes back as it was, and nothing else is accepted."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import pickle
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import values

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)
DTYPES = [dtype for dtype, _ in values.DTYPES.values()]


def same(left: Any, right: Any) -> bool:
    """Equal in type and value, NaN equal to NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@given(VALUES)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    assert same(values.decode(values.encode(value), finite=False), value)


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3))
def test_tensors_come_back_bit_for_bit(dtype: torch.dtype, shape: list[int]) -> None:
    tensor = (torch.arange(math.prod(shape)) % 2).reshape(shape).to(dtype)
    back = values.decode(values.encode({"x": tensor}))["x"]
    assert back.dtype == dtype and back.shape == tensor.shape and torch.equal(back, tensor)


def test_views_gradients_and_arrays_become_plain_tensors() -> None:
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3).T
    back = values.decode(values.encode([tensor, numpy.arange(3), numpy.float32(0.5)]))
    assert not back[0].requires_grad and torch.equal(back[0], tensor.detach())
    assert back[1].tolist() == [0, 1, 2] and back[2] == 0.5 and type(back[2]) is float
    arrays = [numpy.arange(3)[::-1], numpy.arange(2, dtype="uint16")]
    assert [array.tolist() for array in values.decode(values.encode(arrays))] == [[2, 1, 0], [0, 1]]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(raw: bytes) -> None:
    with contextlib.suppress(values.NotAValue):
        values.decode(base64.b64encode(raw).decode())


@given(st.text(max_size=100))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    with contextlib.suppress(values.NotAValue):
        values.decode(text)


@given(VALUES, st.data())
def test_a_message_with_one_byte_changed_is_a_value_or_refused(value: object, data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(values.encode([value, torch.ones(3)])))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(values.NotAValue):
        values.decode(base64.b64encode(bytes(raw)).decode(), finite=False)


def message(tree: object, body: bytes = b"") -> str:
    """A message put together by hand."""
    head = json.dumps(tree).encode()
    return base64.b64encode(len(head).to_bytes(8, "little") + head + body).decode()


def tensor_block(dtype: str, shape: list[int], offsets: list[int], data: bytes = b"") -> bytes:
    """A safetensors block with a header of our own."""
    header = json.dumps({"t0": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (message({"tensor": "t9"}), "malformed"),
        (message({"tensor": "t0"}, tensor_block("F32", [1 << 40], [0, 4], b"0000")), "bytes do not match"),
        (message({"tensor": "t0"}, tensor_block("F32", [-1, -4], [0, 16], b"0" * 16)), "not a list of sizes"),
        (message({"tensor": "t0"}, tensor_block("F32", [1 << 62, 4], [0, 0])), "bytes do not match"),
        (message({"tensor": "t0"}, tensor_block("F8_E4M3", [1], [0, 1], b"0")), "cannot cross"),
        (message({"tensor": "t0"}, tensor_block("F32", [2], [0, 8], b"0000")), "bytes do not match"),
        (message({"list": [{"tensor": "t0"}] * 2}, tensor_block("U8", [1], [0, 1], b"0")), "malformed"),
        (message({"tensor": "t0"}, tensor_block("U8", [1] * 17, [0, 1], b"0")), "more than 16 dimensions"),
        (message({"plain": [1]}), "plain value"),
        (message({"reference": "os"}), "unknown kind"),
        (message({"list": [{"plain": 1}], "tuple": []}), "single entry"),
        (message({"float": "__import__('os')"}), "malformed"),
        (message("x"), "single entry"),
        ("not base64!", "malformed"),
        (base64.b64encode((1 << 60).to_bytes(8, "little")).decode(), "cut short"),
        (base64.b64encode(pickle.dumps(1)).decode(), "cut short"),
    ],
)
def test_forged_messages_are_refused(bad: str, reason: str) -> None:
    with pytest.raises(values.NotAValue, match=reason):
        values.decode(bad)


def test_depth_size_and_types_are_bounded_on_both_sides() -> None:
    deep: object = 1
    for _ in range(values.MAXIMUM_DEPTH + 2):
        deep = [deep]
    tree: object = {"plain": 1}
    for _ in range(values.MAXIMUM_DEPTH + 2):
        tree = {"list": [tree]}
    for attempt in (
        lambda: values.encode(deep),
        lambda: values.decode(message(tree)),
        lambda: values.encode([0] * (values.MAXIMUM_NODES + 1)),
        lambda: values.encode(torch.zeros(values.MAXIMUM_BYTES // 4 + 1)),
        lambda: values.encode(object()),
        lambda: values.encode(torch.zeros(2, dtype=torch.complex64)),
    ):
        with pytest.raises(values.NotAValue):
            attempt()


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, torch.tensor([1.0, math.nan]), [torch.tensor(math.inf)]]
)
def test_nan_and_infinity_are_refused_unless_allowed(value: object) -> None:
    encoded = values.encode(value)
    values.decode(encoded, finite=False)
    with pytest.raises(values.NotAValue):
        values.decode(encoded)


def test_references_resolve_only_to_given_names() -> None:
    class Proxy:
        name = "quantize"

    encoded = values.encode([Proxy()], reference=lambda value: getattr(value, "name", None))
    assert values.decode(encoded, names={"quantize": len}) == [len]
    with pytest.raises(values.NotAValue):
        values.decode(encoded)


def test_a_number_beyond_every_float_is_refused() -> None:
    tree = json.dumps({"float": "0x1p99999"}).encode()
    message = base64.b64encode(len(tree).to_bytes(8, "little") + tree).decode()
    with pytest.raises(values.NotAValue, match="OverflowError"):
        values.decode(message)
