"""What a sparse matrix takes to store: compressed rows, bit masks and 2:4."""

import torch
from torch import Tensor


def to_csr(matrix: Tensor) -> dict[str, Tensor]:
    """Write a matrix as compressed sparse rows.

    Args:
        matrix: (rows, columns), floats.

    Returns:
        "values": (nonzeros,), row by row and in a row from left to right, dtype of the matrix;
        "columns": (nonzeros,), int32, the column of each value;
        "row_starts": (rows + 1,), int32. Row r holds values row_starts[r] to row_starts[r + 1] - 1, so the first
        entry is 0 and the last is the number of nonzeros.
    """
    ### BEGIN SOLUTION
    kept = matrix != 0
    starts = torch.zeros(len(matrix) + 1, dtype=torch.int32)
    starts[1:] = kept.sum(1).cumsum(0)
    return {
        "values": matrix[kept],
        "columns": kept.nonzero()[:, 1].to(torch.int32),
        "row_starts": starts,
    }
    ### END SOLUTION


def sparse_bytes(
    shape: tuple[int, int], nonzeros: int, layout: str, *, value_bytes: int = 4, index_bytes: int = 4
) -> int:
    """Return the bytes that a matrix takes in one of four layouts.

    - "dense": every entry, zeros too;
    - "csr": the values, a column index for each, and rows + 1 row starts; column indices and row starts take
      `index_bytes` each;
    - "bitmap": the values and one bit for each entry of the matrix, rounded up to whole bytes;
    - "2:4": two values of every four entries in a row, whether they are zero or not, and two bits that say where
      in its four each stored value belongs; columns are a multiple of 4, and the bits are rounded up to whole
      bytes. `nonzeros` and `index_bytes` do not matter.

    Args:
        shape: (rows, columns).
        nonzeros: entries that are not zero.
        layout: "dense", "csr", "bitmap" or "2:4".
        value_bytes: of a value: 4 for float32, 2 for float16.
        index_bytes: of an index: 4 for int32, 8 for int64.

    Raises:
        ValueError: the layout is none of the four.
    """
    ### BEGIN SOLUTION
    rows, columns = shape
    entries = rows * columns
    if layout == "dense":
        return entries * value_bytes
    if layout == "csr":
        return nonzeros * (value_bytes + index_bytes) + (rows + 1) * index_bytes
    if layout == "bitmap":
        return nonzeros * value_bytes + -(-entries // 8)
    if layout == "2:4":
        return entries // 2 * value_bytes + -(-(entries // 2 * 2) // 8)
    raise ValueError(f"no layout is called {layout!r}; there are dense, csr, bitmap and 2:4")
    ### END SOLUTION
