"""Bytes of a file, the greedy rule, dynamic programming and the integer program."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.bit_allocation import (
    allocate_bits,
    allocate_dp,
    allocate_greedy,
    allocate_ilp,
    file_bytes,
)
from reference_impl.quantization.hidden_inputs_allocation import (
    everything,
    instance,
    instance_where_greedy_loses,
    total,
)

HAND_COSTS, HAND_SIZES = {"A": [10.0, 9.0, 1.0], "B": [6.0, 4.0, 3.5]}, {"A": [2, 4, 8], "B": [2, 4, 8]}


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([2, 3, 4, 8]), st.integers(1, 24))
def test_bytes_are_those_of_packed_rows(rows: int, columns: int, bits: int, group_size: int) -> None:
    """Counted row by row and group by group, is it the same?"""
    groups = sum(1 for _ in range(rows) for _ in range(0, columns, group_size))
    expected = math.ceil(sum(bits for _ in range(rows * columns)) / 8) + 3 * groups + 2 * 5
    assert file_bytes({"w": [rows, columns], "norm": [5]}, {"w": bits}, group_size) == expected


@pytest.mark.parametrize("name", ["norm", "missing"])
def test_only_matrices_are_quantized(name: str) -> None:
    """Is a vector or an unknown name an error?"""
    with pytest.raises(ValueError, match="not a stored matrix"):
        file_bytes({"w": [2, 2], "norm": [2]}, {name: 4}, 2)


def test_example_by_hand() -> None:
    """Does the rule lose where the text says so?"""
    assert allocate_greedy(HAND_COSTS, HAND_SIZES, [2, 4, 8], 10) == {"A": 4, "B": 4}
    for method in (allocate_dp, allocate_ilp):
        assert method(HAND_COSTS, HAND_SIZES, [2, 4, 8], 10) == {"A": 8, "B": 2}


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_exact_methods_find_the_least_cost(seed: int, count: int) -> None:
    """Is it that of trying everything, within the budget, and never above the greedy rule's?"""
    costs, sizes, bits, budget = instance(count, torch.Generator().manual_seed(seed))
    least = everything(costs, sizes, budget)
    for method in (allocate_dp, allocate_ilp):
        found = method(costs, sizes, bits, budget)
        assert list(found) == list(costs)
        assert total(found, sizes, bits) <= budget
        assert total(found, costs, bits) == pytest.approx(least, rel=1e-9)
    greedy = allocate_greedy(costs, sizes, bits, budget)
    assert total(greedy, sizes, bits) <= budget
    assert total(greedy, costs, bits) >= least * (1 - 1e-12)


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_exact_methods_need_no_order(seed: int, share: float) -> None:
    """With costs and sizes that rise and fall, is the answer still the least?"""
    generator = torch.Generator().manual_seed(seed)
    costs = {f"l{i}": torch.rand(3, generator=generator, dtype=torch.float64).tolist() for i in range(4)}
    sizes = {f"l{i}": torch.randint(1, 30, (3,), generator=generator).tolist() for i in range(4)}
    low, high = (sum(pick(size) for size in sizes.values()) for pick in (min, max))
    budget = int(low + share * (high - low))
    for method in (allocate_dp, allocate_ilp):
        found = method(costs, sizes, [2, 3, 4], budget)
        assert total(found, sizes, [2, 3, 4]) <= budget
        assert total(found, costs, [2, 3, 4]) == pytest.approx(everything(costs, sizes, budget), rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_methods_agree_on_many_layers(seed: int) -> None:
    """For 28 layers, and with costs of a hundred-millionth, do both exact methods agree?"""
    costs, sizes, bits, budget = instance(28, torch.Generator().manual_seed(seed))
    least = total(allocate_dp(costs, sizes, bits, budget), costs, bits)
    tiny = {name: [1e-8 * value for value in values] for name, values in costs.items()}
    for table in (costs, tiny):
        found = allocate_ilp(table, sizes, bits, budget)
        assert total(found, sizes, bits) <= budget
        assert total(found, costs, bits) == pytest.approx(least, rel=1e-7)


def test_greedy_can_lose() -> None:
    """Is there an instance on which the rule ends above the least cost?"""
    costs, sizes, bits, budget = instance_where_greedy_loses(5, torch.Generator().manual_seed(0))
    greedy = total(allocate_greedy(costs, sizes, bits, budget), costs, bits)
    assert greedy > 1.02 * everything(costs, sizes, budget)


@pytest.mark.parametrize("method", ["greedy", "dp", "ilp"])
def test_fixed_bytes_come_first(method: str) -> None:
    """Are they taken off the budget, and is too small a budget an error?"""
    found = allocate_bits(HAND_COSTS, HAND_SIZES, [2, 4, 8], 25, method, fixed_bytes=15)
    assert total(found, HAND_SIZES, [2, 4, 8]) <= 10
    assert found == allocate_bits(HAND_COSTS, HAND_SIZES, [2, 4, 8], 10, method)
    with pytest.raises(ValueError, match="too few"):
        allocate_bits(HAND_COSTS, HAND_SIZES, [2, 4, 8], 25, method, fixed_bytes=22)


@pytest.mark.parametrize(
    ("costs", "bits", "method", "message"),
    [
        (HAND_COSTS, [2, 4, 8], "random", "method"),
        ({"A": HAND_COSTS["A"]}, [2, 4, 8], "dp", "differ"),
        (HAND_COSTS, [2, 4], "dp", "needs 2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    costs: dict[str, list[float]], bits: list[int], method: str, message: str
) -> None:
    """Is a wrong input an error that says what is wrong?"""
    with pytest.raises(ValueError, match=message):
        allocate_bits(costs, HAND_SIZES, bits, 10, method)
