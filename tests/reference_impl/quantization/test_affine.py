"""Properties of the affine quantizer that hold for every tensor, bit width, grid and axis."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.quantization.affine import affine_qparams, dequantize, quantize

from .strategies import matrices, normal

BITS = st.integers(2, 8)
AXIS = st.sampled_from([None, 0, 1, -1])


def round_trip(x: Tensor, bits: int, symmetric: bool, axis: int | None) -> tuple[Tensor, Tensor, Tensor]:
    scale, zero_point = affine_qparams(x, bits=bits, symmetric=symmetric, axis=axis)
    codes = quantize(x, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
    return codes, scale, dequantize(codes, scale, zero_point, axis=axis)


@given(matrices(), BITS, st.booleans(), AXIS)
def test_error_stays_within_half_a_step(x: Tensor, bits: int, symmetric: bool, axis: int | None) -> None:
    """Is every value at most half a step away from what it becomes?"""
    _, scale, restored = round_trip(x, bits, symmetric, axis)
    steps = scale if axis is None else scale.reshape([-1 if d == axis % 2 else 1 for d in range(2)])
    assert ((x - restored).abs() <= 0.5 * steps * 1.01 + 1e-30).all()


@given(matrices(), BITS, st.booleans(), AXIS)
def test_zero_survives(x: Tensor, bits: int, symmetric: bool, axis: int | None) -> None:
    """Does 0.0 become exactly 0.0, even in a tensor whose values are all positive?"""
    scale, zero_point = affine_qparams(x, bits=bits, symmetric=symmetric, axis=axis)
    zeros = torch.zeros_like(x)
    codes = quantize(zeros, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
    assert torch.equal(dequantize(codes, scale, zero_point, axis=axis), zeros)


@given(matrices(), BITS, st.booleans(), AXIS)
def test_requantizing_changes_nothing(x: Tensor, bits: int, symmetric: bool, axis: int | None) -> None:
    """Is quantize after dequantize the identity on codes?"""
    scale, zero_point = affine_qparams(x, bits=bits, symmetric=symmetric, axis=axis)
    codes = quantize(x, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
    restored = dequantize(codes, scale, zero_point, axis=axis)
    again = quantize(restored, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis)
    assert torch.equal(codes, again)


@given(matrices(), BITS, AXIS)
def test_codes_stay_on_the_grid(x: Tensor, bits: int, axis: int | None) -> None:
    """Do values outside the grid land on its last code, never beyond it?"""
    for symmetric in (True, False):
        scale, zero_point = affine_qparams(x, bits=bits, symmetric=symmetric, axis=axis)
        codes = quantize(10 * x, scale, zero_point, bits=bits, symmetric=symmetric, axis=axis).int()
        highest = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
        assert codes.max() <= highest
        assert codes.min() >= (-highest if symmetric else 0)


@given(matrices(), BITS, st.booleans(), st.sampled_from([0, 1, -1]))
def test_each_index_along_the_axis_is_on_its_own(x: Tensor, bits: int, symmetric: bool, axis: int) -> None:
    """Is a per-channel grid the per-tensor grid of each slice?"""
    scale, zero_point = affine_qparams(x, bits=bits, symmetric=symmetric, axis=axis)
    for index, part in enumerate(x.unbind(axis)):
        one_scale, one_zero_point = affine_qparams(part, bits=bits, symmetric=symmetric)
        assert torch.equal(scale[index], one_scale)
        assert torch.equal(zero_point[index], one_zero_point)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", [None, 0])
def test_zeros_get_scale_one(symmetric: bool, axis: int | None) -> None:
    """Is an all-zero tensor quantized without a division by zero?"""
    codes, scale, restored = round_trip(torch.zeros(2, 3), 8, symmetric, axis)
    assert torch.equal(scale, torch.ones(()) if axis is None else torch.ones(2))
    assert not codes.any()
    assert not restored.any()


@pytest.mark.parametrize("bits", [-1, 0, 1, 9, 16])
def test_other_widths_are_refused(bits: int) -> None:
    """Is a width that does not fit into a byte an error?"""
    with pytest.raises(ValueError, match="between 2 and 8"):
        affine_qparams(torch.ones(2), bits=bits)


def test_dtypes_and_shapes() -> None:
    """Do codes have the dtype and the parameters the shape that the docstring states?"""
    x = normal(3, 4, 5, seed=0)
    for symmetric, dtype in ((True, torch.int8), (False, torch.uint8)):
        scale, zero_point = affine_qparams(x, symmetric=symmetric, axis=-1)
        codes = quantize(x, scale, zero_point, symmetric=symmetric, axis=-1)
        assert scale.shape == zero_point.shape == (5,)
        assert (scale.dtype, zero_point.dtype, codes.dtype) == (torch.float32, torch.int32, dtype)


def test_agrees_with_torch() -> None:
    """Does the asymmetric round trip equal torch's own fake quantization?"""
    x = normal(16, 32, seed=1)
    scale, zero_point = affine_qparams(x, symmetric=False, axis=0)
    codes = quantize(x, scale, zero_point, symmetric=False, axis=0)
    expected = torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, 0, 255)
    torch.testing.assert_close(dequantize(codes, scale, zero_point, axis=0), expected)
