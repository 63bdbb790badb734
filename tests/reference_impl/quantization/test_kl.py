"""The threshold by relative entropy against the same definition written out with loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.hidden_inputs import histogram_with_clear_minimum, kl_by_hand
from reference_impl.quantization.kl import kl_threshold


@given(st.lists(st.integers(0, 50), min_size=8, max_size=24).filter(any), st.integers(2, 8))
def test_no_candidate_is_better(counts: list[int], levels: int) -> None:
    """Is the answer the argmin over every candidate, empty bins and all?"""
    kept = kl_threshold(torch.tensor(counts), levels=levels)
    divergences = {i: kl_by_hand(counts, i, levels, 1e-4) for i in range(levels, len(counts) + 1)}
    assert divergences[kept] <= min(divergences.values()) + 1e-12


def test_the_hidden_inputs_have_one_answer() -> None:
    """Does the reference find the minimum that the generator promises?"""
    hist, kept = histogram_with_clear_minimum(96, 16, 1e-4, torch.Generator().manual_seed(1))
    assert kl_threshold(hist, levels=16) == kept


def test_an_unclipped_histogram_is_kept_whole() -> None:
    """Does a histogram with exactly as many bins as levels lose nothing?"""
    assert kl_threshold(torch.arange(1, 9), levels=8) == 8


def test_too_few_bins_are_refused() -> None:
    """Is a histogram coarser than the grid an error?"""
    with pytest.raises(ValueError, match="fewer than"):
        kl_threshold(torch.ones(4), levels=8)
