"""Rotations of the residual stream, and the word format that the GPTQ libraries read."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import zoo
from reference_impl.quantization.gptq_format import pack_gptq
from reference_impl.quantization.rotation import hadamard_matrix, rotate_residual
from tests.reference_impl.quantization.strategies import normal


@pytest.mark.parametrize("n", [1, 2, 8, 64, 128])
def test_a_hadamard_matrix_is_orthogonal_and_even(n: int) -> None:
    h = hadamard_matrix(n)
    torch.testing.assert_close(h @ h.T, torch.eye(n), atol=1e-5, rtol=0)
    torch.testing.assert_close(h.abs(), torch.full((n, n), n**-0.5))


@pytest.mark.parametrize("n", [0, 3, 12, -4])
def test_other_sizes_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="not a power of two"):
        hadamard_matrix(n)


@pytest.mark.parametrize("name", ["llama", "llama-outliers", "mistral"])
def test_a_rotated_model_computes_the_same(name: str) -> None:
    model = zoo.load(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rotation = torch.linalg.qr(normal(128, 128, seed=1)).Q
    rotated = rotate_residual(model, rotation)
    ids = torch.randint(5, 500, (2, 40), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(
            rotated(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-3, rtol=1e-3
        )
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_channel_that_stands_out_is_spread() -> None:
    x = normal(100, 64, seed=3)
    x[:, 7] *= 50
    turned = x @ hadamard_matrix(64)
    assert turned.abs().max() < 0.5 * x.abs().max()


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=30)
def test_words_hold_the_codes(octets: int, in_octets: int, groups: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randint(0, 16, (8 * octets, 8 * in_octets), generator=generator)
    zero = torch.randint(0, 16, (8 * octets, groups), generator=generator)
    qweight, qzeros = pack_gptq(q, zero)
    shifts = 4 * torch.arange(8)
    unpacked = (qweight.long()[:, None, :] >> shifts[None, :, None]) & 15
    assert torch.equal(unpacked.reshape(q.T.shape), q.T)
    unpacked = (qzeros.long()[:, :, None] >> shifts) & 15
    assert torch.equal((unpacked.reshape(zero.T.shape) + 1) % 16, zero.T)
