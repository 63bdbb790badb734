"""Sensitivity analysis: how far a model's output moves when one layer at a time is quantized."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def kl_divergence(reference_logits: Tensor, logits: Tensor) -> float:
    """KL divergence of a model's predictions from those of the reference, a token, in nats.

    Args:
        reference_logits: (..., classes) floats, the full-precision model's output.
        logits: same shape, the changed model's output.

    Returns:
        The mean over all leading positions of sum_c p_c * (ln p_c - ln q_c), a Python float, where
        p is the softmax of `reference_logits` and q the softmax of `logits`, both over the last
        dimension. Computed from `log_softmax` in float64, without a small constant: logits a
        thousand apart must give a finite value, and equal logits 0. No labels are involved.
        Raises `ValueError` when the shapes differ: broadcasting would hide the mistake.

    Kullback and Leibler 1951, On Information and Sufficiency.
    """
    ### BEGIN SOLUTION
    if reference_logits.shape != logits.shape:
        raise ValueError(f"shapes differ: {tuple(reference_logits.shape)} and {tuple(logits.shape)}")
    log_p = torch.log_softmax(reference_logits.double(), dim=-1)
    log_q = torch.log_softmax(logits.double(), dim=-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
    ### END SOLUTION


def layer_sensitivity(
    model: nn.Module,
    layers: list[str],
    batches: list[Mapping[str, Tensor]],
    bits: int | None,
    quantize: Callable[[Tensor, int], Tensor],
) -> dict[str, float]:
    """KL divergence of the model's output when one layer's weight is quantized and all others are not.

    Args:
        model: a language model; `model(**batch).logits` is (rows, tokens, vocabulary).
        layers: names of its `nn.Linear` modules, as of `model.get_submodule(name)`.
        batches: inputs such as `{"input_ids": (rows, tokens) int64}`; they may differ in size and
            hold no labels.
        bits: width of the quantized weight. None leaves the weight as it is, so every answer is 0.
        quantize: `quantize(weight, bits)` returns a new tensor of the weight's shape. Not called
            for `bits=None`.

    Returns:
        For each name of `layers`, in their order, `kl_divergence` of the original model's logits
        and those with this one layer quantized: the mean over every token of all batches, so a
        batch counts by its tokens. The original's logits are computed once.

        The model runs in eval mode without gradients. Afterwards every parameter and buffer is bit
        for bit what it was, the model is in the mode in which it came, and no parameter was
        replaced by another object; this holds when `quantize` raises an error, too.

    Cai et al. 2020, ZeroQ (arXiv 2001.00281), sensitivity analysis; the divergence is taken at the logits of
    real text here, not of distilled data.
    """
    ### BEGIN SOLUTION
    training = model.training
    model.eval()
    tokens = [batch["input_ids"].numel() for batch in batches]
    result = {}
    try:
        with torch.no_grad():
            reference = [model(**batch).logits for batch in batches]
            for name in layers:
                weight = model.get_submodule(name).weight
                original = weight.clone()
                try:
                    if bits is not None:
                        weight.copy_(quantize(original.clone(), bits))
                    divergences = [
                        kl_divergence(before, model(**batch).logits)
                        for before, batch in zip(reference, batches, strict=True)
                    ]
                finally:
                    weight.copy_(original)
                total = sum(value * count for value, count in zip(divergences, tokens, strict=True))
                result[name] = total / sum(tokens)
    finally:
        model.train(training)
    return result
    ### END SOLUTION


def spearman(first: list[float], second: list[float]) -> float:
    """Spearman's rank correlation: do two measurements put the same things in the same order?

    Args:
        first, second: one value an item, in the same order of items; two or more items.

    Returns:
        The Pearson correlation of the ranks, from -1 to 1, a Python float. The smallest value has
        rank 1; values that are equal share the mean of the ranks they take up.
        Raises `ValueError` when the lengths differ, there are fewer than two items, or all values
        of one list are equal: then there is no order to compare.

    Spearman 1904, The Proof and Measurement of Association between Two Things.
    """
    ### BEGIN SOLUTION
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"two or more pairs are needed, not {len(first)} and {len(second)} values")
    ranks = []
    for values in (first, second):
        x = torch.tensor(values, dtype=torch.float64)
        below, equal = x[:, None] > x, x[:, None] == x
        rank = below.sum(1) + (equal.sum(1) + 1) / 2
        ranks.append(rank.double() - rank.double().mean())
    norm = ranks[0].norm() * ranks[1].norm()
    if norm == 0:
        raise ValueError("all values of one list are equal")
    return float(ranks[0] @ ranks[1] / norm)
    ### END SOLUTION
