"""Quantization-aware training: linear layers that compute on grids while their float weights are trained."""

import copy

import torch
from torch import Tensor, nn


class QATLinear(nn.Module):
    """A linear layer that sees its weight and its input on integer grids.

    Jacob et al. 2018 (arXiv 1712.05877), section 3: the float weight stays and is trained ("shadow
    weight"); quantization happens on the way forward. Both grids come from torch's fake-quantize operators,
    whose gradient is the straight-through estimator.
    """

    def __init__(self, linear: nn.Linear, *, weight_bits: int, input_bits: int) -> None:
        """Take over `linear`'s weight and bias as they are, in float32.

        Keep `weight` and `bias` (the same `nn.Parameter` objects; bias None where there is none), `weight_bits`
        and `input_bits`; buffers `low` and `high`, float32 scalars, both 0; and `observing`, a bool, True.
        """
        super().__init__()
        ### BEGIN SOLUTION
        self.weight = linear.weight
        self.bias = linear.bias
        self.weight_bits, self.input_bits = weight_bits, input_bits
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))
        self.observing = True
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out): observe, put the input and the weight on their grids, multiply.

        * Observer: in train mode, and only while `observing`, move the range towards the batch:
          low <- low + 0.1 * (min(x) - low), high <- high + 0.1 * (max(x) - high), without gradient. Where
          both ends are still 0, nothing was observed and the batch's own ends are taken. In eval mode
          the range stays.
        * Input grid: asymmetric over [low, high] extended to contain 0, codes 0 .. 2^input_bits - 1;
          scale = (high - low) / (2^input_bits - 1), at least 1e-8; zero point = round(-low / scale).
        * Weight grid: symmetric, one scale an output channel, codes -q .. q with q = 2^(weight_bits - 1) - 1;
          scale = max|row| / q, at least 1e-8, from the weight as it is in this call.
        * The bias stays in float32.

        Both grids are used in train mode and in eval mode: training sees what will be shipped.
        """
        ### BEGIN SOLUTION
        if self.training and self.observing:
            with torch.no_grad():
                low, high = x.min(), x.max()
                started = bool(self.low != 0) or bool(self.high != 0)
                self.low.copy_(self.low + 0.1 * (low - self.low) if started else low)
                self.high.copy_(self.high + 0.1 * (high - self.high) if started else high)
        levels = 2**self.input_bits - 1
        low, high = min(self.low.item(), 0.0), max(self.high.item(), 0.0)
        scale = max((high - low) / levels, 1e-8)
        on_grid = torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, levels)
        q = 2 ** (self.weight_bits - 1) - 1
        scales = (self.weight.detach().abs().amax(1) / q).clamp(min=1e-8)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(self.weight, scales, zeros, 0, -q, q)
        return nn.functional.linear(on_grid, weight, self.bias)
        ### END SOLUTION


def prepare_qat(
    model: nn.Module,
    calibration: Tensor,
    *,
    weight_bits: int,
    input_bits: int,
    keep: tuple[str, ...] = (),
) -> nn.Module:
    """Return a copy of `model` whose linear layers are `QATLinear` layers with calibrated ranges.

    Args:
        model: with `nn.Linear` layers at any depth, not itself one. It is left as it was.
        calibration: one batch, passed on as `model(calibration)`.
        weight_bits, input_bits: of every replaced layer.
        keep: layers whose dotted name contains one of these parts stay `nn.Linear`.

    Returns:
        A deep copy in the mode (train or eval) of `model`. `low` and `high` of each layer are the
        smallest and largest value of its input over the calibration batch, found in eval mode (dropout off),
        without gradients, with every layer still in float32. All layers are `observing`.

    Before any training the copy is the model after post-training quantization at these widths.
    """
    ### BEGIN SOLUTION
    prepared = copy.deepcopy(model)
    linears = {
        name: layer
        for name, layer in prepared.named_modules()
        if isinstance(layer, nn.Linear) and not any(part in name for part in keep)
    }
    ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> object:
        return linears[name].register_forward_pre_hook(
            lambda _, inputs: ranges.update({name: (inputs[0].min(), inputs[0].max())})
        )

    hooks = [watch(name) for name in linears]
    prepared.eval()
    with torch.no_grad():
        prepared(calibration)
    for hook in hooks:
        hook.remove()
    for name, layer in linears.items():
        replacement = QATLinear(layer, weight_bits=weight_bits, input_bits=input_bits)
        replacement.low.copy_(ranges[name][0])
        replacement.high.copy_(ranges[name][1])
        parent, _, last = name.rpartition(".")
        setattr(prepared.get_submodule(parent), last, replacement)
    return prepared.train(model.training)
    ### END SOLUTION


def train_qat(
    model: nn.Module,
    train: dict[str, Tensor],
    validation: dict[str, Tensor],
    *,
    epochs: int,
    freeze_after: int,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train a prepared model in place, freeze its ranges on the way, and evaluate after every epoch.

    Args:
        model: of `prepare_qat`; called as `model(pixel_values)`, returns logits (n, classes).
        train, validation: `pixel_values` (n, ...) and `labels` (n,).
        epochs: passes over the training rows.
        freeze_after: observers move in the first so many epochs; from then on `observing` is False in every
            module that has the attribute, and the ranges stay. 0 keeps the calibrated ranges.
        learning_rate: of `torch.optim.Adam`, lowered to 0 by a cosine over all steps
            (`torch.optim.lr_scheduler.CosineAnnealingLR`, stepped after each update).
        batch_size: rows a step; the last batch of an epoch may be smaller.
        seed: of a generator of its own; each epoch draws a new `torch.randperm` of all rows from it.

    Returns:
        For each epoch `{"loss": ..., "accuracy": ..., "observing": 0.0 or 1.0}`: the mean training
        cross-entropy of the epoch's steps, the share of validation rows with the right largest logit, and
        whether observers moved in it.

    Training steps run in train mode, evaluation in eval mode and without gradients. The optimizer updates
    the float weights; their grid values are never written back. The model is left in eval mode.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    rows = len(train["labels"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-rows // batch_size))
    history = []
    for epoch in range(epochs):
        observing = epoch < freeze_after
        for module in model.modules():
            if hasattr(module, "observing"):
                module.observing = observing
        model.train()
        losses = []
        for part in torch.randperm(rows, generator=generator).split(batch_size):
            loss = nn.functional.cross_entropy(model(train["pixel_values"][part]), train["labels"][part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            right = model(validation["pixel_values"]).argmax(-1) == validation["labels"]
        mean_loss, accuracy = sum(losses) / len(losses), right.double().mean().item()
        history.append({"loss": mean_loss, "accuracy": accuracy, "observing": float(observing)})
    return history
    ### END SOLUTION
