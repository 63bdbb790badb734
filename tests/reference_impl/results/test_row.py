"""Rows of the results page: parts of a test set, shares and their ranges."""

import torch
from torch import Tensor

from labkit import evaluation
from reference_impl.results.row import PROMISED, Spread, shares, thirds


def rows(count: int) -> dict[str, Tensor]:
    """Numbers with the label 1 for the odd ones."""
    numbers = torch.arange(count)
    return {"numbers": numbers, "labels": numbers % 2}


def perfect(inputs: dict[str, Tensor]) -> Tensor:
    """Always right."""
    return torch.nn.functional.one_hot(inputs["numbers"] % 2, 2).float()


def lazy(inputs: dict[str, Tensor]) -> Tensor:
    """Right below 6, and for even numbers."""
    return torch.nn.functional.one_hot(
        torch.where(inputs["numbers"] < 6, inputs["numbers"] % 2, 0), 2
    ).float()


def test_thirds_are_disjoint_and_in_order() -> None:
    parts = thirds(rows(20))
    assert torch.cat([part["numbers"] for part in parts]).tolist() == list(range(18))


def test_the_share_of_all_rows_lies_between_those_of_the_thirds() -> None:
    found = shares(perfect, lazy, rows(18))
    assert found.high == 1.0 and found.low == 0.5
    assert found.value == (6 + 6) / 18
    assert evaluation.quality(lazy, rows(18))[1] == found.value


def test_spread_is_mean_smallest_and_largest() -> None:
    assert Spread.of([0.2, 0.4, 0.9]) == Spread(0.5, 0.2, 0.9)


def test_the_promises_are_those_of_the_status_report() -> None:
    assert PROMISED["INT8 quantization"].speed == (2, 4) and PROMISED["distillation"].ratio == (3, 10)
    assert [promise.kept for promise in PROMISED.values()] == [0.98, 0.95, 0.95, 0.95]
