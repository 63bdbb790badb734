"""The file format of GPTQ models: eight 4-bit codes in one 32-bit integer."""

import torch
from torch import Tensor


def pack_gptq(q: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Pack codes and zero-points as the GPTQ libraries store them, version 1 of the format.

    Args:
        q: (out, in) integers 0 .. 15; `in` is a multiple of 8.
        zero: (out, groups) integers 0 .. 15; `out` is a multiple of 8.

    Returns:
        `qweight` (in / 8, out) int32: entry [r, o] holds the codes of inputs 8r .. 8r + 7 of output o, input
        8r in its lowest four bits.
        `qzeros` (groups, out / 8) int32: entry [g, c] holds the zero-points of outputs 8c .. 8c + 7 of group
        g, output 8c in its lowest four bits, each less 1 and taken modulo 16: readers of version 1 add 1.

    Source: auto_gptq 0.7.1, `qlinear_cuda_old.QuantLinear.pack`.
    """
    ### BEGIN SOLUTION
    shifts = 4 * torch.arange(8)

    def join(nibbles: Tensor) -> Tensor:  # (..., 8) int64, to int32 with the bit pattern kept
        words = (nibbles << shifts).sum(-1)
        return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)

    columns = q.long().T.reshape(q.shape[1] // 8, 8, -1).transpose(1, 2)
    zeros = ((zero.long() - 1) % 16).T
    return join(columns), join(zeros.reshape(len(zeros), -1, 8))
    ### END SOLUTION
