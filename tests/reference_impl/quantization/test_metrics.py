"""Properties of the ratio and of the byte count."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization.affine import affine_qparams, dequantize, quantize
from reference_impl.quantization.metrics import model_bytes, sqnr_db

from .strategies import normal


@given(st.integers(0, 1000), st.floats(0.001, 1000.0))
def test_ratio_ignores_the_unit(seed: int, unit: float) -> None:
    """Is the ratio the same in millivolts and in volts?"""
    signal, noise = normal(64, seed=seed), 0.1 * normal(64, seed=seed + 1)
    assert sqnr_db(unit * signal, unit * (signal + noise)) == pytest.approx(
        sqnr_db(signal, signal + noise), abs=1e-3
    )


def test_half_the_error_is_six_decibels() -> None:
    """Does halving the noise add 20 log10 2 decibels?"""
    signal, noise = normal(256, seed=0).double(), normal(256, seed=1).double()
    gain = sqnr_db(signal, signal + noise / 2) - sqnr_db(signal, signal + noise)
    assert gain == pytest.approx(20 * math.log10(2), abs=1e-9)


def test_identical_tensors_have_no_noise() -> None:
    """Is a lossless copy infinitely good?"""
    assert sqnr_db(torch.ones(3), torch.ones(3)) == math.inf


def test_broadcasting_is_refused() -> None:
    """Is a row against a matrix an error?"""
    with pytest.raises(ValueError, match="shapes differ"):
        sqnr_db(torch.ones(2, 3), torch.ones(3))


@given(st.integers(2, 7))
def test_a_bit_more_is_about_six_decibels(bits: int) -> None:
    """Do uniform values gain six decibels with each bit?"""
    x = 2 * torch.rand(4096, generator=torch.Generator().manual_seed(bits)) - 1

    def ratio(width: int) -> float:
        scale, zero_point = affine_qparams(x, bits=width, symmetric=False)
        codes = quantize(x, scale, zero_point, bits=width, symmetric=False)
        return sqnr_db(x, dequantize(codes, scale, zero_point))

    assert 5.0 < ratio(bits + 1) - ratio(bits) < 8.0


def test_bytes_by_hand() -> None:
    """Are codes packed, parameters counted and other tensors taken at their own width?"""
    codes = torch.zeros(3, 5, dtype=torch.int8)
    parts = {
        "norm": torch.zeros(7),
        "half": torch.zeros(4, dtype=torch.float16),
        "symmetric": {"codes": codes, "bits": 3, "scale": torch.ones(3), "zero_point": None},
        "asymmetric": {
            "codes": codes,
            "bits": 8,
            "scale": torch.ones(()),
            "zero_point": torch.zeros((), dtype=torch.int32),
        },
    }
    assert model_bytes(parts) == 28 + 8 + (6 + 12) + (15 + 4 + 4)
    assert model_bytes({}) == 0
