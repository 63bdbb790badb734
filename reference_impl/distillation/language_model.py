"""Distilling a language model: text, soft targets and hidden states together; the reverse divergence (MiniLLM: Gu et
al. 2023, arXiv 2306.08543; GKD: Agarwal et al. 2023, arXiv 2306.13649)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labkit import training


def combined_loss(
    student: Tensor,
    teacher: Tensor,
    tokens: Tensor,
    mask: Tensor,
    hidden: Tensor,
    *,
    temperature: float,
    alpha: float,
    hidden_weight: float,
) -> dict[str, Tensor]:
    """Three parts of a language model's distillation loss, and their weighted sum.

    The logits at position t predict token t + 1. A position counts where token t + 1 exists and is real; "text" and
    "kd" are means over these positions of the whole batch.

    Args:
        student: logits (batch, tokens, vocabulary).
        teacher: logits of the same shape, for the same tokens.
        tokens: int64 (batch, tokens), unshifted.
        mask: (batch, tokens), 1 for a real token and 0 for padding.
        hidden: the distance between hidden states, a tensor without axes, as of `hidden_loss`.
        temperature: T, above 0, in "kd" only.
        alpha: weight of "kd", 0 to 1.
        hidden_weight: weight of "hidden".

    Returns:
        "text": cross-entropy of the next token, in nats, at temperature 1;
        "kd": T ** 2 * KL(teacher || student) of the distributions softened by T;
        "hidden": as it came;
        "total": (1 - alpha) * text + alpha * kd + hidden_weight * hidden.
        Tensors without axes. The gradient reaches `student` and `hidden`, never `teacher`.
    """
    ### BEGIN SOLUTION
    counts = mask[:, 1:].bool()
    own, goal = student[:, :-1][counts], teacher.detach()[:, :-1][counts]  # (positions, vocabulary)
    text = nn.functional.cross_entropy(own, tokens[:, 1:][counts])
    soft, wanted = (part.div(temperature).log_softmax(-1) for part in (own, goal))
    kd = temperature**2 * nn.functional.kl_div(soft, wanted, log_target=True, reduction="batchmean")
    total = (1 - alpha) * text + alpha * kd + hidden_weight * hidden
    return {"text": text, "kd": kd, "hidden": hidden, "total": total}
    ### END SOLUTION


def reverse_kl(student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
    """KL(student || teacher) at every counted position, and its mean: the divergence of MiniLLM and on-policy GKD.

    Args:
        student: logits (batch, tokens, vocabulary).
        teacher: logits of the same shape, for the same tokens.
        counted: (batch, tokens), 1 or True at the positions whose logits are compared; here nothing is shifted. At
            least one position counts.

    Returns:
        A tensor without axes, in nats, at temperature 1. The gradient reaches `student`, whose probabilities are the
        weights of the mean as well, and never `teacher`. Logits that are 60 apart give no infinity.
    """
    ### BEGIN SOLUTION
    chosen = counted.bool()
    own, goal = student[chosen].log_softmax(-1), teacher.detach()[chosen].log_softmax(-1)
    return (own.exp() * (own - goal)).sum(-1).mean()
    ### END SOLUTION


def distill_lm(
    student: nn.Module,
    teacher: nn.Module,
    matcher: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    temperature: float,
    alpha: float,
    hidden_weight: float,
    steps: int,
    learning_rate: float = 2.5e-3,
    batch: int = 16,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train a student with `combined_loss`; a module that is trained along measures "hidden".

    In every step one batch goes through the teacher, in eval mode and without gradient, and through the student in
    train mode, each called with "input_ids", "attention_mask" and `output_hidden_states=True`. "hidden" is
    `matcher(student's hidden_states, teacher's hidden_states, attention mask)`, a tensor without axes. The loss is
    "total".

    One AdamW with weight decay 0 holds the parameters of the student and, after them, those of the matcher; its
    learning rate is `learning_rate * (1 - step / steps)`, steps counted from 0. The gradient over all of them
    together is clipped at norm 1 before it acts (`nn.utils.clip_grad_norm_`).

    Batches come from `labkit.training.batches(rows, batch, seed=seed)`; `torch.manual_seed(seed)` is called once
    before the first step, for dropout. Student and teacher are left in eval mode; the teacher keeps the parameters that
    it came with, and has no gradient.

    Args:
        student: changed in place. The answer of both models has `.logits` and `.hidden_states`.
        teacher: the larger model, with the same vocabulary.
        matcher: changed in place.
        rows: "input_ids" (rows, tokens), int64, and perhaps "attention_mask" of the same shape; without it all tokens
            are real.
        temperature, alpha, hidden_weight: of `combined_loss`.
        steps: optimizer steps.
        learning_rate: of the first step.
        batch: rows a step.
        seed: of the batches and of dropout.

    Returns:
        "text", "kd", "hidden" and "total" of each step, as Python floats.
    """
    ### BEGIN SOLUTION
    trained = [*student.parameters(), *matcher.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    batches = training.batches(rows, batch, seed=seed)
    torch.manual_seed(seed)
    teacher.eval()
    student.train()
    history: dict[str, list[float]] = {"text": [], "kd": [], "hidden": [], "total": []}
    for step in range(steps):
        inputs = next(batches)
        tokens = inputs["input_ids"]
        mask = inputs.get("attention_mask", torch.ones_like(tokens))
        asked = {"input_ids": tokens, "attention_mask": mask, "output_hidden_states": True}
        with torch.no_grad():
            goal = teacher(**asked)
        answer = student(**asked)
        hidden = matcher(answer.hidden_states, goal.hidden_states, mask)
        weights = {"temperature": temperature, "alpha": alpha, "hidden_weight": hidden_weight}
        parts = combined_loss(answer.logits, goal.logits, tokens, mask, hidden, **weights)
        optimizer.zero_grad()
        parts["total"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
        for name, value in parts.items():
            history[name].append(value.item())
    student.eval()
    return history
    ### END SOLUTION
