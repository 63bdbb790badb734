"""AWQ: enlarge the weights of busy inputs before rounding, and shrink the inputs by the same factor."""

import torch
from torch import Tensor

from labkit import ops


def activation_scale(batches: list[Tensor]) -> Tensor:
    """Return the mean absolute value of each input channel over all rows, (in,) float32.

    Args:
        batches: inputs of a layer, each (rows, in). The result must not depend on how the rows were split
            into batches.

    Paper: Lin et al. 2023 (arXiv 2306.00978), section 3.2.
    """
    ### BEGIN SOLUTION
    return torch.cat(batches).abs().mean(0)
    ### END SOLUTION


def salient_channels(importance: Tensor, share: float) -> Tensor:
    """Return the indices of the most important channels, int64, in rising order.

    Args:
        importance: (in,), larger is more important, no two equal.
        share: 0 to 1; max(1, round(share * in)) channels are returned.

    Paper: Lin et al. 2023 (arXiv 2306.00978), section 3.1.
    """
    ### BEGIN SOLUTION
    count = max(1, round(share * len(importance)))
    return importance.argsort(descending=True)[:count].sort().values
    ### END SOLUTION


def search_scale(
    weights: list[Tensor], inputs: Tensor, *, bits: int = 4, group_size: int = 128, points: int = 20
) -> dict[str, Tensor | float]:
    """Choose one factor for each input channel of layers that share their input.

    Args:
        weights: each (out, in) float32.
        inputs: (rows, in) float32, what all of them are given.
        bits, group_size: of the grid that `ops.snap_groups(weight, bits, group_size)` rounds to.
        points: candidates for the exponent: α = 0, 1 / points, ..., (points - 1) / points.

    Returns:
        `alpha` (float), the best exponent, the smallest of equals;
        `scale` (in,) float32, its factors;
        `losses` (points,) float64, the loss of each exponent.

        With a = `activation_scale` of the inputs, at least 1e-4: s = a^α, divided by
        sqrt(max s * min s), so that factors lie around 1. The loss of α is the sum over the weights of the
        mean over rows and outputs of (X Q(W s)^T - X W^T)^2 where W s has its columns multiplied by s, Q
        rounds to the grid, and X is divided by s to make up for it. α = 0 is rounding to nearest.

    Paper: Lin et al. 2023 (arXiv 2306.00978), equations 4 and 5.
    """
    ### BEGIN SOLUTION
    importance = inputs.abs().mean(0).clamp_min(1e-4)
    # mean_rows ||D x||^2 = trace(D C D^T) with C the second moment of the inputs: no pass over rows.
    moment = (inputs.double().T @ inputs.double()) / len(inputs)
    losses, scales = [], []
    for point in range(points):
        s = importance ** (point / points)
        s = s / (s.max() * s.min()).sqrt()
        loss = 0.0
        for weight in weights:
            error = (ops.snap_groups(weight * s, bits, group_size) / s - weight).double()
            loss += ((error @ moment) * error).sum().item() / len(weight)
        losses.append(loss)
        scales.append(s)
    best = min(range(points), key=losses.__getitem__)
    return {
        "alpha": best / points,
        "scale": scales[best],
        "losses": torch.tensor(losses, dtype=torch.float64),
    }
    ### END SOLUTION


def apply_scale(
    producers: list[Tensor], consumers: list[Tensor], scale: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Fold factors into the tensors before and after a channel, so that the network computes the same.

    Args:
        producers: what makes the channels: a norm's weight (width,), a linear layer's weight (width, in) or bias
            (width,). They are divided by the factors along their first dimension.
        consumers: weights (out, width) of every layer that reads the channels; their columns are multiplied.
        scale: (width,), > 0.

    Returns:
        New producers and new consumers, in order; the arguments are not changed.

    Paper: Lin et al. 2023 (arXiv 2306.00978), equation 2 and section 3.2.
    """
    ### BEGIN SOLUTION
    divided = [producer / scale.reshape(-1, *[1] * (producer.dim() - 1)) for producer in producers]
    return divided, [consumer * scale for consumer in consumers]
    ### END SOLUTION


def fold_value_scale(
    v_weight: Tensor, o_weight: Tensor, scale: Tensor, *, query_heads: int, kv_heads: int
) -> tuple[Tensor, Tensor]:
    """Fold factors between the value and the output projection of grouped-query attention.

    Query head h mixes the values of KV head h // (query_heads / kv_heads). So the output projection reads
    each value channel query_heads / kv_heads times, and all of its copies need the factor of that channel.

    Args:
        v_weight: (kv_heads * d, in).
        o_weight: (out, query_heads * d); input h * d + i is channel i of query head h.
        scale: (kv_heads * d,), > 0, one factor a value channel.
        query_heads, kv_heads: the first is a multiple of the second, else `ValueError`.

    Returns:
        `(v, o)`: v has its rows divided by the factors, o its columns multiplied by those of the channels
        they read; the attention block computes the same as before.

    Paper: Ainslie et al. 2023 (arXiv 2305.13245), section 2.2, for the heads.
    """
    ### BEGIN SOLUTION
    if query_heads % kv_heads:
        raise ValueError(f"{query_heads} query heads can not share {kv_heads} KV heads")
    repeated = scale.reshape(kv_heads, -1).repeat_interleave(query_heads // kv_heads, dim=0).flatten()
    return v_weight / scale[:, None], o_weight * repeated
    ### END SOLUTION
