"""Observers: watch activations during calibration, then say which range the grid should cover."""

import torch
from torch import Tensor


class MinMaxObserver:
    """The range from the smallest to the largest value seen.

    Krishnamoorthi 2018 (arXiv 1806.08342), section 3.1.
    """

    def __init__(self) -> None:
        """Start with nothing observed."""
        ### BEGIN SOLUTION
        self.low: float | None = None
        self.high: float | None = None
        ### END SOLUTION

    def observe(self, x: Tensor) -> None:
        """Take note of one batch: a float tensor of any shape with at least one value."""
        ### BEGIN SOLUTION
        low, high = x.min().item(), x.max().item()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        ### END SOLUTION

    def bounds(self) -> tuple[float, float]:
        """Return (smallest, largest) value over every batch so far.

        The result must not depend on the order of the batches or on how the data were split into
        batches. Raises `ValueError` when nothing was observed.
        """
        ### BEGIN SOLUTION
        if self.low is None or self.high is None:
            raise ValueError("nothing was observed")
        return self.low, self.high
        ### END SOLUTION


class PercentileObserver:
    """The range that leaves out the same share of values at either end.

    McKinstry et al. 2019 (arXiv 1809.04191), section 3; Wu et al. 2020 (arXiv 2004.09602), section 3.3.
    """

    def __init__(self, percentile: float = 99.9) -> None:
        """Keep `percentile`, above 50 and at most 100. `samples` is for the batches."""
        self.percentile = percentile
        self.samples: list[Tensor] = []

    def observe(self, x: Tensor) -> None:
        """Keep the values of one batch: a float tensor of any shape.

        Later changes to `x` in place must not change what was kept.
        """
        ### BEGIN SOLUTION
        self.samples.append(x.detach().flatten().clone())
        ### END SOLUTION

    def bounds(self) -> tuple[float, float]:
        """Return the (100 - p)-th and the p-th percentile of all values together.

        Between two values interpolate linearly, as `torch.quantile` does; p = 100 gives the
        smallest and the largest value. The percentile of a concatenation is not the mean of the
        batches' percentiles. Raises `ValueError` when nothing was observed.
        """
        ### BEGIN SOLUTION
        if not self.samples:
            raise ValueError("nothing was observed")
        values = torch.cat(self.samples).double()
        share = torch.tensor([1 - self.percentile / 100, self.percentile / 100], dtype=torch.float64)
        low, high = torch.quantile(values, share).tolist()
        return low, high
        ### END SOLUTION


class MSEObserver:
    """The range whose grid gives the values back with the least squared error.

    Nagel et al. 2021 (arXiv 2106.08295), section 3.1.
    """

    def __init__(self, bits: int = 8, candidates: int = 41) -> None:
        """Choose among `candidates` ranges for an asymmetric grid of `bits` bits."""
        self.bits = bits
        self.candidates = candidates
        self.samples: list[Tensor] = []

    def observe(self, x: Tensor) -> None:
        """Keep the values of one batch: a float tensor of any shape.

        Later changes to `x` in place must not change what was kept.
        """
        ### BEGIN SOLUTION
        self.samples.append(x.detach().flatten().clone())
        ### END SOLUTION

    def bounds(self) -> tuple[float, float]:
        """Return the best of the candidate ranges for all values together.

        Extend the observed range to contain 0, which gives (low, high). The candidates are
        (r * low, r * high) for r in `torch.linspace(0.2, 1.0, candidates)`. A candidate's grid has
        scale = (r * high - r * low) / (2^bits - 1), zero_point = round(-r * low / scale) and codes
        0 .. 2^bits - 1; `torch.fake_quantize_per_tensor_affine` maps values onto it. The best
        candidate has the least mean squared error; of equals take the widest.
        Where all values are 0 return (0.0, 0.0). Raises `ValueError` when nothing was observed.
        """
        ### BEGIN SOLUTION
        if not self.samples:
            raise ValueError("nothing was observed")
        values = torch.cat(self.samples)
        low, high = min(values.min().item(), 0.0), max(values.max().item(), 0.0)
        if low == high:
            return 0.0, 0.0
        best_error, best = float("inf"), 1.0
        for r in torch.linspace(0.2, 1.0, self.candidates).tolist():
            scale = r * (high - low) / (2**self.bits - 1)
            zero_point = round(-r * low / scale)
            restored = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, 2**self.bits - 1)
            error = (values - restored).double().square().mean().item()
            if error <= best_error:
                best_error, best = error, r
        return best * low, best * high
        ### END SOLUTION
