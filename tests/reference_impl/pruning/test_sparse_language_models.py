"""Wanda, N:M masks, and sparse storage."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit import compat
from reference_impl.pruning.n_m import nm_mask
from reference_impl.pruning.sparse_storage import sparse_bytes, to_csr
from reference_impl.pruning.wanda import input_norms, wanda_mask

seeds = st.integers(0, 9999)


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(tokens=st.integers(1, 20), width=st.integers(1, 9), seed=seeds)
def test_input_norms_are_torchs_vector_norms(tokens: int, width: int, seed: int) -> None:
    x = drawn((tokens, width), seed)
    torch.testing.assert_close(input_norms(x), torch.linalg.vector_norm(x, dim=0))


@given(rows=st.integers(1, 9), width=st.integers(1, 20), share=st.floats(0, 1), seed=seeds)
def test_wanda_removes_equally_many_of_the_smallest_in_each_row(
    rows: int, width: int, share: float, seed: int
) -> None:
    weight, norms = drawn((rows, width), seed), drawn((width,), seed + 1).abs() + 0.1
    mask = wanda_mask(weight, norms, share)
    assert (~mask).sum(1).tolist() == [round(share * width)] * rows
    scores = weight.abs() * norms
    for row in range(rows):
        if mask[row].any() and not mask[row].all():
            assert scores[row][~mask[row]].max() <= scores[row][mask[row]].min()


@given(seed=seeds)
def test_wanda_does_not_see_a_rescaling_of_the_inputs(seed: int) -> None:
    weight, norms = drawn((6, 12), seed), drawn((12,), seed + 1).abs() + 0.1
    factors = 2.0 ** torch.randint(-6, 7, (12,), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(wanda_mask(weight / factors, norms * factors, 0.5), wanda_mask(weight, norms, 0.5))


def test_wanda_removes_what_changes_an_output_least_when_inputs_are_orthogonal() -> None:
    inputs = torch.diag(torch.tensor([3.0, 0.1, 1.0, 0.5]))
    weight = drawn((5, 4), 7)
    kept = weight * wanda_mask(weight, input_norms(inputs), 0.25)
    error = ((weight - kept) @ inputs.T).square().sum(1)
    for column in range(4):
        other = weight.clone()
        other[:, column] = 0
        assert (error <= ((weight - other) @ inputs.T).square().sum(1) + 1e-6).all()


@given(rows=st.integers(1, 6), groups=st.integers(1, 5), m=st.integers(1, 8), seed=seeds, data=st.data())
def test_n_of_m_stay_and_they_are_the_largest(
    rows: int, groups: int, m: int, seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, m))
    scores = drawn((rows, groups * m), seed).abs()
    mask = nm_mask(scores, n, m)
    assert (mask.reshape(-1, m).sum(1) == n).all()
    for group, kept in zip(scores.reshape(-1, m), mask.reshape(-1, m), strict=True):
        assert set(group[kept].tolist()) == set(group.topk(n).values.tolist())
    assert torch.equal(nm_mask(scores.T.contiguous(), n, m, axis=0), mask.T)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_rest_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match="groups of 4 do not divide 6"):
        nm_mask(torch.ones(6, 6), axis=axis)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), density=st.floats(0, 1), seed=seeds)
def test_csr_is_torchs_csr_and_gives_the_matrix_back(
    rows: int, columns: int, density: float, seed: int
) -> None:
    matrix = drawn((rows, columns), seed) * (
        torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < density
    )
    stored, expected = to_csr(matrix), compat.to_sparse_csr(matrix)
    assert stored["row_starts"].tolist() == expected.crow_indices().tolist()
    assert stored["columns"].tolist() == expected.col_indices().tolist()
    assert stored["columns"].dtype == stored["row_starts"].dtype == torch.int32
    dense = torch.zeros(rows, columns)
    for row in range(rows):
        here = slice(int(stored["row_starts"][row]), int(stored["row_starts"][row + 1]))
        dense[row, stored["columns"][here].long()] = stored["values"][here]
    assert torch.equal(dense, matrix)


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), density=st.floats(0, 1), seed=seeds)
def test_csr_bytes_are_those_of_the_arrays(rows: int, columns: int, density: float, seed: int) -> None:
    matrix = drawn((rows, columns), seed) * (
        torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < density
    )
    stored = to_csr(matrix)
    size = sum(part.numel() * part.element_size() for part in stored.values())
    assert sparse_bytes((rows, columns), len(stored["values"]), "csr") == size
    assert sparse_bytes((rows, columns), len(stored["values"]), "dense") == matrix.numel() * 4


def test_half_empty_with_int64_indices_is_half_again_as_large() -> None:
    dense, csr = (
        sparse_bytes((4096, 4096), 4096 * 2048, layout, index_bytes=8) for layout in ("dense", "csr")
    )
    assert csr / dense == pytest.approx(1.5, abs=1e-3)
    assert sparse_bytes((8, 4), 5, "2:4") == 16 * 4 + 4 and sparse_bytes((3, 3), 5, "bitmap") == 20 + 2
    with pytest.raises(ValueError, match="no layout is called 'coo'"):
        sparse_bytes((4, 4), 3, "coo")
