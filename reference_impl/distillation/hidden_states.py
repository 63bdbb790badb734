"""Matching hidden states: FitNets (Romero et al. 2014, arXiv 1412.6550) and PKD (Sun et al. 2019, arXiv 1908.09355)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from labkit import training


def layer_map(student_layers: int, teacher_layers: int, *, scheme: str = "uniform") -> list[int]:
    """Choose for each layer of the student the layer of the teacher that it is compared with.

    Indices are those of `hidden_states` of transformers: 0 is the output of the embeddings and no layer, i is the
    output of the i-th layer. The answer for the student's layers 1, 2, ..., M comes in this order.

    Args:
        student_layers: M, at least 1.
        teacher_layers: N, at least M.
        scheme: "uniform": layer i is compared with i * N / M, rounded down (PKD-Skip); "last": with N - M + i, the
            last M layers of the teacher in their order (PKD-Last).

    Returns:
        M indices from 1 to N. The last is N under both schemes.

    Raises:
        ValueError: M is below 1 or above N, or the scheme is unknown.
    """
    ### BEGIN SOLUTION
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(f"{student_layers} layers can not be mapped to {teacher_layers}")
    own = range(1, student_layers + 1)
    if scheme == "uniform":
        return [layer * teacher_layers // student_layers for layer in own]
    if scheme == "last":
        return [teacher_layers - student_layers + layer for layer in own]
    raise ValueError(f"the scheme is uniform or last, not {scheme!r}")
    ### END SOLUTION


class Projection(nn.Module):
    """Carry the student's hidden states into the teacher's width, with a linear map of its own for each layer.

    Attributes:
        maps: `nn.ModuleList` of `layers` modules `nn.Linear(student_width, teacher_width, bias=False)`; all of them
            are trained.
    """

    def __init__(self, student_width: int, teacher_width: int, layers: int) -> None:
        """Make one map a layer of the student; the initial weights are those that `nn.Linear` draws."""
        ### BEGIN SOLUTION
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(student_width, teacher_width, bias=False) for _ in range(layers))
        ### END SOLUTION

    def forward(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Map the output of each layer; the output of the embeddings is left out.

        Args:
            states: `hidden_states` of the student, layers + 1 tensors (batch, tokens, student width); the first is
                the output of the embeddings.

        Returns:
            layers tensors (batch, tokens, teacher width): `maps[i]` of `states[i + 1]`.

        Raises:
            ValueError: there are not exactly layers + 1 states.
        """
        ### BEGIN SOLUTION
        if len(states) != len(self.maps) + 1:
            raise ValueError(f"{len(states)} states for {len(self.maps)} maps: one more is needed")
        return [layer(state) for layer, state in zip(self.maps, states[1:], strict=True)]
        ### END SOLUTION


def hidden_loss(
    projected: Sequence[Tensor], states: Sequence[Tensor], indices: Sequence[int], mask: Tensor | None = None
) -> Tensor:
    """How far the student's states are from the teacher's, as a share of the teacher's own squared length.

    For pair i the squared differences between `projected[i]` and `states[indices[i]]` are summed over channels and
    real tokens and divided by the sum of the teacher's squares over the same tokens. The result is the mean over the
    pairs: 0 when all states are equal, 1 when every projected state is zero. (FitNets, equation 3, relative.)

    Args:
        projected: as `Projection` returns them, (batch, tokens, teacher width) each.
        states: `hidden_states` of the teacher, all of them, the output of the embeddings first.
        indices: as of `layer_map`; one for each projected state.
        mask: (batch, tokens), 1 or True for a real token and 0 or False for padding. None: all tokens are real.

    Returns:
        A tensor without axes. Its gradient reaches `projected` and never `states`.
    """
    ### BEGIN SOLUTION
    shares = []
    for own, index in zip(projected, indices, strict=True):
        target = states[index].detach()
        real = torch.ones(target.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
        shares.append((own - target)[real].square().sum() / target[real].square().sum())
    return torch.stack(shares).mean()
    ### END SOLUTION


def distill_hidden(
    student: nn.Module,
    teacher: nn.Module,
    projection: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    weight: float,
    steps: int,
    learning_rate: float = 4e-3,
    batch: int = 16,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train a language model on text, with hints from the teacher's hidden states.

    In every step one batch goes through the teacher, in eval mode and without gradient, and through the student in
    train mode, each called with `output_hidden_states=True`. The loss is text + weight * hidden:

    * text: mean cross-entropy in nats of each next token, the logits at position t against token t + 1;
    * hidden: `hidden_loss` of the projected states, with `layer_map` of the two depths, scheme "uniform".

    One AdamW with weight decay 0 holds the parameters of the student and, after them, those of the projection. Its
    learning rate is `learning_rate * (1 - step / steps)`, steps counted from 0. Before it acts the gradient over all of
    them together is clipped at norm 1 (`nn.utils.clip_grad_norm_`).

    Batches come from `labkit.training.batches(rows, batch, seed=seed)`; `torch.manual_seed(seed)` is called once
    before the first step, for dropout. The student is left in eval mode, the teacher too, with the parameters that it
    came with and without a gradient.

    Args:
        student: changed in place. The answer of both models has `.logits` and `.hidden_states`.
        teacher: the larger model.
        projection: a `Projection`, changed in place.
        rows: "input_ids", int64 (rows, tokens), without padding.
        weight: of the hidden part; 0 turns the hints off.
        steps: optimizer steps.
        learning_rate: of the first step.
        batch: rows a step.
        seed: of the batches and of dropout.

    Returns:
        "text" and "hidden": that part of the loss in each step, before weighting, as Python floats.
    """
    ### BEGIN SOLUTION
    trained = [*student.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    batches = training.batches(rows, batch, seed=seed)
    torch.manual_seed(seed)
    teacher.eval()
    student.train()
    history: dict[str, list[float]] = {"text": [], "hidden": []}
    for step in range(steps):
        tokens = next(batches)["input_ids"]
        with torch.no_grad():
            goal = teacher(input_ids=tokens, output_hidden_states=True).hidden_states
        answer = student(input_ids=tokens, output_hidden_states=True)
        text = nn.functional.cross_entropy(answer.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        indices = layer_map(len(answer.hidden_states) - 1, len(goal) - 1)
        hidden = hidden_loss(projection(answer.hidden_states), goal, indices)
        optimizer.zero_grad()
        (text + weight * hidden).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        optimizer.step()
        history["text"].append(text.item())
        history["hidden"].append(hidden.item())
    student.eval()
    return history
    ### END SOLUTION
