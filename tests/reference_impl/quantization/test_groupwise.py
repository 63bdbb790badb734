"""Group-wise grids, 4-bit packing and NF4: properties over every shape that fits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.groupwise import dequantize_groupwise, quantize_groupwise
from reference_impl.quantization.hidden_inputs_groups import grouped_weight
from reference_impl.quantization.normal_float import nf4_codebook, quantize_nf4
from reference_impl.quantization.packing import WeightOnlyLinear, pack_int4, unpack_int4
from tests.reference_impl.quantization.strategies import normal

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(2, 9), st.integers(0, 99))


@given(SHAPES, st.integers(2, 8))
def test_a_restored_weight_is_within_a_step(shape: tuple[int, int, int, int], bits: int) -> None:
    rows, groups, width, seed = shape
    weight = normal(rows, groups * width, seed=seed)
    parts = quantize_groupwise(weight, bits=bits, group_size=width)
    steps = parts["scale"].float().repeat_interleave(width, dim=1)
    # half a step of rounding, and what the ends of the grid lose because the scale is a float16
    assert ((dequantize_groupwise(**parts) - weight).abs() <= steps * (0.51 + 2**bits * 2**-11)).all()
    assert max(int(parts[key].max()) for key in ("q", "zero")) < 2**bits


@given(SHAPES, st.integers(2, 8))
def test_the_codes_of_a_drawn_weight_are_the_known_ones(shape: tuple[int, int, int, int], bits: int) -> None:
    rows, groups, width, seed = shape
    weight, expected = grouped_weight(rows, groups, width, torch.Generator().manual_seed(seed), bits=bits)
    parts = quantize_groupwise(weight, bits=bits, group_size=width)
    for key, value in expected.items():
        assert torch.equal(parts[key], value), key


@given(SHAPES)
def test_quantizing_the_restored_weight_changes_nothing(shape: tuple[int, int, int, int]) -> None:
    rows, groups, width, seed = shape
    _, parts = grouped_weight(rows, groups, width, torch.Generator().manual_seed(seed))
    again = quantize_groupwise(dequantize_groupwise(**parts), group_size=width)
    assert torch.equal(again["q"], parts["q"])


@pytest.mark.parametrize("size", [0, 3, 16, -2])
def test_groups_that_do_not_divide_a_row_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="do not divide 8 inputs"):
        quantize_groupwise(torch.ones(2, 8), group_size=size)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_packing_is_undone_by_unpacking(shape: list[int], seed: int) -> None:
    codes = torch.randint(0, 16, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    packed = pack_int4(codes)
    assert packed.dtype == torch.uint8 and len(packed) == (codes.numel() + 1) // 2
    assert torch.equal(unpack_int4(packed, tuple(shape)), codes)


def test_what_does_not_fit_a_byte_is_refused() -> None:
    for wrong in ([16], [-1]):
        with pytest.raises(ValueError, match="between 0 and 15"):
            pack_int4(torch.tensor(wrong))
    with pytest.raises(ValueError, match="3 bytes can not hold 4 codes"):
        unpack_int4(torch.zeros(3, dtype=torch.uint8), (4,))


@pytest.mark.parametrize(
    ("outputs", "width", "size", "bias"), [(6, 32, 8, True), (5, 9, 3, False), (3, 7, 7, True)]
)
def test_a_packed_layer_computes_with_the_restored_weight(
    outputs: int, width: int, size: int, bias: bool
) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Linear(width, outputs, bias=bias)
    packed, x = WeightOnlyLinear(layer, group_size=size), normal(4, width, seed=2)
    restored = dequantize_groupwise(**quantize_groupwise(layer.weight.detach(), group_size=size))
    expected = x @ restored.T + (layer.bias.detach().half().float() if bias else 0)
    torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)
    stored = sum(value.numel() * value.element_size() for value in packed.state_dict().values())
    groups = outputs * width // size
    assert stored == (outputs * width + 1) // 2 + (groups + 1) // 2 + 2 * groups + (
        2 * outputs if bias else 0
    )


def test_the_levels_of_nf4_are_the_published_ones() -> None:
    published = [-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0]
    published += [0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0]
    torch.testing.assert_close(nf4_codebook(), torch.tensor(published), rtol=0, atol=1e-4)


@given(SHAPES)
def test_nf4_takes_the_nearest_level(shape: tuple[int, int, int, int]) -> None:
    rows, groups, width, seed = shape
    weight, levels = normal(rows, groups * width, seed=seed), nf4_codebook()
    q, scale = quantize_nf4(weight, levels, group_size=width)
    steps = scale.repeat_interleave(width, dim=1)
    error = (levels[q.long()] * steps - weight).abs()
    best = (levels * steps[..., None] - weight[..., None]).abs().amin(-1)
    torch.testing.assert_close(error, best, rtol=1e-5, atol=1e-6)
