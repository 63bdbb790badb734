"""AdaRound: learn whether each weight is rounded up or down."""

import torch
from torch import Tensor


def adaround(
    weight: Tensor, scale: Tensor, inputs: Tensor, *, bits: int = 3, steps: int = 400, rate: float = 0.02
) -> Tensor:
    """Choose floor or ceil for each weight so that the layer's output changes least.

    Args:
        weight: (out, in) float32.
        scale: (out,) float32 > 0, the steps of a symmetric grid for each output channel.
        inputs: (tokens, in) float32, what the layer is given during calibration.
        bits: width of a code, 2 to 8; codes are -q .. q with q = 2^(bits-1) - 1.
        steps: optimisation steps.
        rate: learning rate of Adam.

    Returns:
        Codes, (out, in) int8: floor(weight / scale) or that plus 1, clamped to -q .. q.

        With V a real variable for each weight, the paper's relaxation is

            h(V) = clamp(1.2 * sigmoid(V) - 0.1, 0, 1)
            W~   = scale * clamp(floor(W / scale) + h(V), -q, q)
            loss = mean over tokens of ||W x - W~ x||^2, summed over outputs
                   + lambda * sum(1 - |2 h(V) - 1|^beta)

        V starts where h(V) = W / scale - floor(W / scale), so that W~ = W (keep h(V) in
        0.01 .. 0.99 there). beta falls linearly from 20 to 2 over all steps, the first fifth included.
        lambda is 0 for the first fifth of the steps; afterwards it must be large enough to move V, because
        W~ starts equal to W and the first term alone then has almost no gradient. Here it is
        0.01 * (loss of rounding to nearest) / out, with out = weight.shape[0] and the loss the mean over
        tokens defined above.
        At the end a weight goes up where h(V) >= 0.5, that is, where V >= 0. Every solution that
        returns such codes with a small output error is right; the settings above are one that works.

    Paper: Nagel et al. 2020 (arXiv 2004.10568), equations 21 to 25.
    """
    ### BEGIN SOLUTION
    highest = 2 ** (bits - 1) - 1
    steps_of = scale[:, None]
    floor = torch.floor(weight / steps_of)
    # mean ||D x||^2 = trace(D C D^T) with C the second moment of the inputs: no pass over tokens.
    moment = inputs.T @ inputs / len(inputs)

    def output_error(candidate: Tensor) -> Tensor:
        difference = weight - steps_of * candidate.clamp(-highest, highest)
        return ((difference @ moment) * difference).sum()

    fraction = (weight / steps_of - floor).clamp(0.01, 0.99)
    v = torch.special.logit((fraction + 0.1) / 1.2).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=rate)
    strength = 0.01 * output_error(torch.round(weight / steps_of)).item() / len(weight)
    for step in range(steps):
        h = (1.2 * torch.sigmoid(v) - 0.1).clamp(0, 1)
        loss = output_error(floor + h)
        if step >= steps // 5:
            beta = 20 - 18 * step / steps
            loss = loss + strength * (1 - (2 * h - 1).abs() ** beta).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (floor + (v.detach() >= 0)).clamp(-highest, highest).to(torch.int8)
    ### END SOLUTION
