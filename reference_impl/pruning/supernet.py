"""One set of weights for every subnet: cutting a subnet out, counting it, training them all at once."""

import torch
from torch import Tensor, nn


def slice_subnet(state: dict[str, Tensor], subnet: dict[str, list[int]], head_size: int) -> dict[str, Tensor]:
    """The weights of a subnet, cut out of those of the network.

    Args:
        state: of the network. Layer i has `layers.{i}.` before the names of its tensors: `q_proj`,
            `k_proj`, `v_proj` with weight (heads * head_size, width) and bias (heads * head_size,);
            `o_proj` with weight (width, heads * head_size) and bias (width,); `fc1` with weight
            (inner, width) and bias (inner,); `fc2` with weight (width, inner) and bias (width,);
            `norm1` and `norm2` with weight and bias (width,). Other tensors belong to no layer.
        subnet: "heads" and "ffn", a list each with one int for each layer the subnet has.
        head_size: width of one head; head j has the rows j * head_size to (j + 1) * head_size - 1.

    Returns:
        A dict with the tensors the subnet has, under the same names. Layers beyond the subnet's depth are
        left out; of the others the first heads and the first inner channels stay: rows of q_proj,
        k_proj, v_proj and fc1, columns of o_proj and fc2. What else there is stays whole. The tensors
        are copies: writing to them leaves `state` as it is. `state` is not changed.

    Yu et al. 2020, BigNAS (arXiv 2003.11142), section 3; Cai et al. 2020 (arXiv 1908.09791).
    """
    ### BEGIN SOLUTION
    cut = {}
    for name, value in state.items():
        if name.startswith("layers."):
            _, number, module, kind = name.split(".")
            if int(number) >= len(subnet["heads"]):
                continue
            width = subnet["heads"][int(number)] * head_size
            inner = subnet["ffn"][int(number)]
            if module in ("q_proj", "k_proj", "v_proj"):
                value = value[:width]
            elif module == "fc1":
                value = value[:inner]
            elif kind == "weight" and module == "o_proj":
                value = value[:, :width]
            elif kind == "weight" and module == "fc2":
                value = value[:, :inner]
        cut[name] = value.detach().clone()
    return cut
    ### END SOLUTION


def count_params(
    subnet: dict[str, list[int]], *, width: int, head_size: int, patch: int, tokens: int, labels: int
) -> int:
    """How many parameters a subnet has, without building it.

    Args:
        subnet: "heads" and "ffn", a list each with one int for each layer.
        width: of the residual stream.
        head_size: width of one head.
        patch: numbers in one patch, the inputs of the embedding, a linear layer with bias.
        tokens: positions, each with a learned vector of `width` numbers.
        labels: outputs of the classifier, a linear layer with bias.

    Returns:
        A Python int: weights and biases of the embedding, the positions, the layers of the subnet, the
        last norm and the classifier. A layer has two norms with 2 * width parameters each, four
        projections and two inner matrices, all with bias.
    """
    ### BEGIN SOLUTION
    total = width * patch + width + tokens * width + 2 * width + labels * width + labels
    for heads, inner in zip(subnet["heads"], subnet["ffn"], strict=True):
        attention = heads * head_size
        total += 3 * (attention * width + attention) + width * attention + width
        total += inner * width + inner + width * inner + width + 4 * width
    return total
    ### END SOLUTION


def sandwich_step(
    model: nn.Module, batch: dict[str, Tensor], space: dict, others: list[dict[str, list[int]]]
) -> list[float]:
    """The gradient of the sandwich rule with in-place distillation, for one batch.

    Args:
        model: `model(pixel_values, heads=..., ffn=...)` returns the logits (rows, labels) of a subnet.
        batch: "pixel_values" and "labels", int64 (rows,).
        space: "layers" (int), "heads" and "ffn" (rising lists of ints): what a subnet may have.
        others: subnets in between, drawn by the caller.

    Returns:
        The loss of each subnet, Python floats: of the largest subnet of the space, of the smallest, then
        of the others in their order. The largest subnet's is the mean cross-entropy of the labels. That
        of each other one is the mean over rows of the divergence sum_c p_c (log p_c - log q_c), where p
        are the probabilities of the largest subnet from the same batch, a fixed target, and q its own.

        The gradient of the sum of all losses is added to `.grad` of the model's parameters. Nothing
        else of the model changes: the caller clears gradients before and makes the optimizer's step after.

    Yu et al. 2020, BigNAS (arXiv 2003.11142), section 3.1; Yu & Huang 2019, Universally Slimmable
    Networks (arXiv 1903.05134), section 3.
    """
    ### BEGIN SOLUTION
    depth = space["layers"]
    largest = {"heads": [max(space["heads"])] * depth, "ffn": [max(space["ffn"])] * depth}
    smallest = {"heads": [min(space["heads"])], "ffn": [min(space["ffn"])]}
    logits = model(batch["pixel_values"], **largest)
    loss = nn.functional.cross_entropy(logits, batch["labels"])
    loss.backward()
    losses = [loss.item()]
    target = torch.log_softmax(logits.detach(), dim=-1)
    for subnet in (smallest, *others):
        own = torch.log_softmax(model(batch["pixel_values"], **subnet), dim=-1)
        loss = nn.functional.kl_div(own, target, reduction="batchmean", log_target=True)
        loss.backward()
        losses.append(loss.item())
    return losses
    ### END SOLUTION
