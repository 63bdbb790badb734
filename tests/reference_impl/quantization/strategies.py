"""Hypothesis strategies for tensors whose values a quantizer can be asked about."""

import torch
from hypothesis import strategies as st
from torch import Tensor

FINITE = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)


@st.composite
def matrices(draw: st.DrawFn, values: st.SearchStrategy[float] = FINITE) -> Tensor:
    """Float32 matrices from 1x1 to 6x8."""
    rows = draw(st.integers(1, 6))
    columns = draw(st.integers(1, 8))
    flat = draw(st.lists(values, min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(flat, dtype=torch.float32).reshape(rows, columns)


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal values from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
