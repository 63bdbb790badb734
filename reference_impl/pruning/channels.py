"""Channel pruning: which hidden channels of a feed-forward block matter, and the block without the others."""

import copy

from torch import Tensor, nn


def l1_channel_scores(weight: Tensor) -> Tensor:
    """Score each hidden channel by the size of its incoming weights, without data.

    Args:
        weight: (inner, width) floats, the weight of a feed-forward block's first layer. Row c holds
            the weights that make hidden channel c.

    Returns:
        (inner,), the sum of absolute weights of each row, in the dtype of `weight`. The bias takes
        no part. Raises `ValueError` unless `weight` has two dimensions.

    Li et al. 2017, Pruning Filters for Efficient ConvNets (arXiv 1608.08710), section 3.1, with a row in
    the place of a filter.
    """
    ### BEGIN SOLUTION
    if weight.dim() != 2:
        raise ValueError(f"a weight has the shape (inner, width), not {tuple(weight.shape)}")
    return weight.detach().abs().sum(dim=1)
    ### END SOLUTION


def taylor_channel_scores(activations: Tensor, gradients: Tensor) -> Tensor:
    """Estimate how much an example's loss would change if a hidden channel became 0, to first order.

    Args:
        activations: (examples, tokens, inner) floats, what the block's second layer was given.
        gradients: same shape, the gradient of each example's own loss at these activations (that is,
            of the losses' sum over examples, not of their mean).

    Returns:
        (inner,) in the dtype of `activations`: per example |sum over tokens of activation times
        gradient|, then the mean over examples. The sign is taken away after the sum over tokens,
        because all tokens of an example lose the channel together, and before the mean over
        examples, because a gain on one does not make up for a loss on another.
        Raises `ValueError` when the shapes differ or do not have three dimensions.

    Molchanov et al. 2017, Pruning Convolutional Neural Networks for Resource Efficient Inference
    (arXiv 1611.06440), equation 8, with the sum over positions in the place of their mean.
    """
    ### BEGIN SOLUTION
    if activations.shape != gradients.shape or activations.dim() != 3:
        raise ValueError(
            f"two tensors of one shape (examples, tokens, inner) are needed, not {tuple(activations.shape)} "
            f"and {tuple(gradients.shape)}"
        )
    return (activations * gradients).sum(dim=1).abs().mean(dim=0)
    ### END SOLUTION


def prune_ffn(model: nn.Module, pairs: list[tuple[str, str]], keep: list[list[int]]) -> nn.Module:
    """Return a copy of the model whose feed-forward blocks have only some of their hidden channels.

    Args:
        model: is not changed.
        pairs: names of two `nn.Linear` modules for each block, as of `model.get_submodule(name)`. The
            first makes the hidden channels, weight (inner, width); the second reads them, weight
            (width, inner). Between them acts a function of each channel alone, such as GELU.
        keep: for each pair the indices of the hidden channels that stay, in any order; the copy has
            them in ascending order.

    Returns:
        A deep copy in the model's mode in which both layers of each pair are smaller: `nn.Linear`
        modules with the right `in_features` and `out_features`; dtype, device and `requires_grad` as
        before. The first keeps the chosen rows and the same entries of its bias, the second the chosen
        columns and its whole bias. A layer without a bias stays without.
        Raises `ValueError` when `pairs` and `keep` differ in length, or a list of channels is empty,
        repeats one, or names one that does not exist (negative numbers included).
    """
    ### BEGIN SOLUTION
    if len(pairs) != len(keep):
        raise ValueError(f"{len(pairs)} pairs but {len(keep)} lists of channels")
    pruned = copy.deepcopy(model)
    for names, channels in zip(pairs, keep, strict=True):
        inner = pruned.get_submodule(names[0]).out_features
        kept = sorted(channels)
        if not kept or len(set(kept)) < len(kept) or kept[0] < 0 or kept[-1] >= inner:
            raise ValueError(f"channels must be different numbers from 0 to {inner - 1}, at least one")
        for name, dimension in zip(names, (0, 1), strict=True):
            layer = pruned.get_submodule(name)
            for key, parameter in list(layer.named_parameters()):
                if key == "bias" and dimension == 1:
                    continue  # the second layer's bias belongs to its outputs, which all stay
                values = parameter.detach()[kept] if dimension == 0 else parameter.detach()[:, kept]
                setattr(layer, key, nn.Parameter(values.clone(), requires_grad=parameter.requires_grad))
            layer.out_features, layer.in_features = layer.weight.shape
    return pruned
    ### END SOLUTION
