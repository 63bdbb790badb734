"""Two students that learn from each other (Zhang et al. 2018, Deep Mutual Learning, arXiv 1706.00384)."""

import torch
from torch import Tensor, nn

from labkit import training


def dml_losses(first: Tensor, second: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of two peers on one batch (section 2.1 of the paper).

    Each is the peer's own cross-entropy with the labels plus KL(the other || itself), probabilities at temperature 1,
    both means over the batch. The other's probabilities are a fixed target: the first loss has no gradient in
    `second`, the second none in `first`. An example with the label -100 has no label: the mean cross-entropy is over
    those that have one, and 0 when none has; the KL is over all.

    Args:
        first: logits (n, classes) of one student.
        second: logits (n, classes) of the other.
        labels: int64 (n,); -100 stands for "no label".

    Returns:
        Two tensors without axes: the first student's loss, the second student's.
    """
    ### BEGIN SOLUTION
    known = labels != -100

    def one(own: Tensor, other: Tensor) -> Tensor:
        target = other.detach().softmax(dim=-1)
        imitation = nn.functional.kl_div(own.log_softmax(dim=-1), target, reduction="batchmean")
        if not known.any():
            return imitation
        return nn.functional.cross_entropy(own[known], labels[known]) + imitation

    return one(first, second), one(second, first)
    ### END SOLUTION


def agreement(first: Tensor, second: Tensor) -> float:
    """Share of examples for which two students give the same most probable class.

    Args:
        first: logits (n, classes).
        second: logits (n, classes).
    """
    ### BEGIN SOLUTION
    return (first.argmax(dim=-1) == second.argmax(dim=-1)).double().mean().item()
    ### END SOLUTION


def mutual_train(
    first: nn.Module,
    second: nn.Module,
    rows: dict[str, Tensor],
    *,
    steps: int,
    learning_rate: float = 2e-3,
    batch: int = 64,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Train two students in place, at the same time, each on the labels and on the other's answers.

    In every step both answer the same batch, both losses of `dml_losses` come from these logits, and only then do
    both take a step: neither sees the other's new weights before the next batch. Each student has an AdamW of its
    own with weight decay 0; its gradient is clipped at norm 1; the learning rate of both is
    `learning_rate * (1 - step / steps)`, steps counted from 0. Batches come from
    `labkit.training.batches(rows, batch, seed=seed)`. Both train in train mode and are left in eval mode.

    Args:
        first: a network without dropout, called with `pixel_values=`; has `.logits`.
        second: another one; the two may differ in size.
        rows: `pixel_values` (n, channels, height, width) and `labels` (n,), -100 for "no label".
        steps: optimizer steps.
        learning_rate: of the first step.
        batch: rows a step.
        seed: of the batches.

    Returns:
        For each step the two losses, as Python floats.
    """
    ### BEGIN SOLUTION
    peers = (first.train(), second.train())
    optimizers = [torch.optim.AdamW(peer.parameters(), lr=learning_rate, weight_decay=0.0) for peer in peers]
    stream = training.batches(rows, batch, seed=seed)
    history = []
    for step in range(steps):
        drawn = next(stream)
        answers = [peer(pixel_values=drawn["pixel_values"]).logits for peer in peers]
        losses = dml_losses(answers[0], answers[1], drawn["labels"])
        for peer, optimizer, value in zip(peers, optimizers, losses, strict=True):
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        for optimizer in optimizers:
            optimizer.step()
        history.append((losses[0].item(), losses[1].item()))
    for peer in peers:
        peer.eval()
    return history
    ### END SOLUTION
