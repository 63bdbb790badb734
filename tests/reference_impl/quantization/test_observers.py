"""Observers must not depend on how calibration data are cut into batches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.observers import MinMaxObserver, MSEObserver, PercentileObserver

from .strategies import normal

OBSERVERS = [MinMaxObserver, PercentileObserver, MSEObserver]


def squared_error(x: torch.Tensor, low: float, high: float, bits: int) -> float:
    scale = (high - low) / (2**bits - 1)
    restored = torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 2**bits - 1)
    return (x - restored).double().square().mean().item()


@pytest.mark.parametrize("kind", OBSERVERS)
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 59), max_size=4), turned=st.booleans())
def test_order_and_split_do_not_matter(kind: type, seed: int, cuts: list[int], turned: bool) -> None:
    """Are the bounds of several batches those of their concatenation?"""
    x = normal(60, seed=seed)
    whole, parts = kind(), kind()
    whole.observe(x)
    batches = [batch for batch in torch.tensor_split(x, sorted(cuts)) if len(batch)]
    for batch in reversed(batches) if turned else batches:
        parts.observe(batch)
    assert parts.bounds() == pytest.approx(whole.bounds(), rel=1e-6)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_nothing_observed_is_an_error(kind: type) -> None:
    """Does an observer without data refuse to answer?"""
    with pytest.raises(ValueError, match="nothing was observed"):
        kind().bounds()


@pytest.mark.parametrize("kind", OBSERVERS)
def test_later_changes_are_not_seen(kind: type) -> None:
    """Does the observer keep a copy of what it saw?"""
    x = normal(50, seed=3)
    observer = kind()
    observer.observe(x)
    before = observer.bounds()
    x.mul_(100)
    assert observer.bounds() == before


@given(st.integers(0, 99), st.floats(51, 100))
def test_percentile_is_torchs_quantile(seed: int, percentile: float) -> None:
    """Do the bounds leave out the stated share at either end?"""
    x = normal(200, seed=seed)
    observer = PercentileObserver(percentile)
    observer.observe(x)
    expected = [torch.quantile(x.double(), s).item() for s in (1 - percentile / 100, percentile / 100)]
    assert observer.bounds() == pytest.approx(tuple(expected), abs=1e-6)


@given(st.integers(0, 99), st.integers(2, 8))
def test_mse_is_never_worse_than_min_max(seed: int, bits: int) -> None:
    """Is the whole range among the candidates?"""
    x = normal(300, seed=seed) ** 3
    observer = MSEObserver(bits)
    observer.observe(x)
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    assert squared_error(x, *observer.bounds(), bits) <= squared_error(x, low, high, bits)


def test_mse_clips_a_lonely_outlier() -> None:
    """Does one far value among hundreds give way at few bits, and stay at many?"""
    x = torch.cat([torch.linspace(0, 1, 500), torch.tensor([4.0])])
    narrow, wide = MSEObserver(3), MSEObserver(8)
    for observer in (narrow, wide):
        observer.observe(x)
    assert narrow.bounds()[1] < 3.0 < wide.bounds()[1]


def test_mse_of_zeros() -> None:
    """Is an all-zero input harmless?"""
    observer = MSEObserver()
    observer.observe(torch.zeros(4))
    assert observer.bounds() == (0.0, 0.0)
    assert math.isfinite(observer.bounds()[0])
