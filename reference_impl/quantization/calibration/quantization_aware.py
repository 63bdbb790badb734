"""The measured checks of Lab 3.2, and the gains that are reported and not graded."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from labkit import data, evaluation, ops, zoo
from reference_impl.measured import Measured, entry
from reference_impl.quantization.convert import convert
from reference_impl.quantization.lsq import LSQQuantizer, lsq_initial_step
from reference_impl.quantization.qat import prepare_qat, train_qat

ROWS, CALIBRATION = 4000, 128
ALL = ("",)
"""A part of every layer's name: `prepare_qat` keeps them all in float32."""


@contextmanager
def weights_detached() -> Iterator[None]:
    """Let no gradient through the rounding of a weight, as if nobody had written an estimator."""
    original = torch.fake_quantize_per_channel_affine

    def detached(weight: Tensor, *rest: object) -> Tensor:
        return original(weight.detach(), *rest)

    torch.fake_quantize_per_channel_affine = detached  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.fake_quantize_per_channel_affine = original


class Draw:
    """One seed's pictures: 4,000 to train, 128 of them to calibrate, and the validation pictures."""

    def __init__(self, generator: torch.Generator) -> None:
        """Draw from the training split."""
        pictures = data.tensors(data.fashion()["train"])
        order = torch.randperm(len(pictures["labels"]), generator=generator)[:ROWS]
        self.train = {key: value[order] for key, value in pictures.items()}
        self.calibration = self.train["pixel_values"][:CALIBRATION]
        self.validation = data.tensors(data.fashion()["validation"])
        self.seed = int(torch.randint(1_000_000, (1,), generator=generator))
        self.model = zoo.load("encoder")

    def accuracy(self, model: nn.Module) -> float:
        """Accuracy on the validation pictures."""
        return evaluation.quality(model, self.validation)[1]

    def prepared(self, weight_bits: int, input_bits: int, keep: tuple[str, ...] = ()) -> nn.Module:
        """The encoder after post-training quantization."""
        torch.manual_seed(self.seed)
        return prepare_qat(
            self.model, self.calibration, weight_bits=weight_bits, input_bits=input_bits, keep=keep
        )

    def trained(self, weight_bits: int, input_bits: int, keep: tuple[str, ...] = ()) -> nn.Module:
        """The encoder after one epoch of quantization-aware training."""
        model = self.prepared(weight_bits, input_bits, keep)
        train_qat(
            model,
            self.train,
            self.validation,
            epochs=1,
            freeze_after=1,
            learning_rate=5e-4,
            seed=self.seed,
        )
        return model


def training_loop(draw: Draw) -> Measured:
    """Notebook 02: accuracy after training, against rounding and against training without an estimator."""
    with weights_detached():
        without_estimator = draw.accuracy(draw.trained(2, 4))
    result: Measured = {
        "accuracy with 2-bit weights and 4-bit inputs": entry(
            draw.accuracy(draw.trained(2, 4)), without_estimator, 0.75
        )
    }
    further = prepare_qat(
        draw.trained(2, 4, ALL), draw.calibration, weight_bits=2, input_bits=4
    )  # trained on in float32, rounded afterwards
    rounded = draw.accuracy(draw.prepared(2, 4))
    result["reported: w2a4, float32 training then rounding, against rounding at once"] = entry(
        draw.accuracy(further), rounded, rounded_limit(0.837)
    )
    for weight_bits, input_bits in ((8, 8), (4, 4), (3, 4), (3, 3), (2, 8)):
        result[f"reported: w{weight_bits}a{input_bits}, trained against rounded"] = entry(
            draw.accuracy(draw.trained(weight_bits, input_bits)),
            draw.accuracy(draw.prepared(weight_bits, input_bits)),
            rounded_limit(0.837),
        )
    return result


def rounded_limit(float32: float) -> float:
    """The promise of the lab as a limit: less than 2 points under the accuracy of float32."""
    return round(float32 - 0.02, 4)


class LearnedStepLinear(nn.Module):
    """Notebook 03's layer: one learned step for the weight, one for the input."""

    def __init__(self, linear: nn.Linear, sample: Tensor, factor: float) -> None:
        """Take over `linear` at 2-bit weights and 4-bit inputs, the weight's step times `factor`."""
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.on_weight = LSQQuantizer(linear.weight, 2)
        self.on_weight.step.data *= factor
        self.on_input = LSQQuantizer(sample, 4, count=sample.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return nn.functional.linear(self.on_input(x), self.on_weight(self.weight), self.bias)


def with_learned_steps(draw: Draw, factor: float, learn: bool) -> float:
    """Accuracy after one epoch at w2a4, with steps learned or fixed, from `factor` times the paper's start."""
    torch.manual_seed(draw.seed)
    model = copy.deepcopy(draw.model)
    linears = ops.linear_layers(model)
    samples = ops.layer_inputs(model, list(linears), [{"pixel_values": draw.calibration[:64]}])
    for name, layer in linears.items():
        ops.set_module(model, name, LearnedStepLinear(layer, samples[name], factor))
    steps = [parameter for name, parameter in model.named_parameters() if name.endswith(".step")]
    rest = [parameter for name, parameter in model.named_parameters() if not name.endswith(".step")]
    groups: list[dict[str, Any]] = [{"params": rest, "lr": 5e-4}]
    if learn:
        groups.append({"params": steps, "lr": 5e-3})
    optimizer = torch.optim.Adam(groups)
    parts = torch.randperm(ROWS, generator=torch.Generator().manual_seed(draw.seed)).split(64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(parts))
    model.train()
    for part in parts:
        logits = model(draw.train["pixel_values"][part])
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, draw.train["labels"][part]).backward()
        optimizer.step()
        schedule.step()
    return draw.accuracy(model.eval())


def learned_steps(draw: Draw) -> Measured:
    """Notebook 03: learned against fixed steps at w2a4, from two starts; reported, not graded."""
    return {
        f"reported: w2a4, {start}, learned against fixed steps": entry(
            with_learned_steps(draw, factor, True), with_learned_steps(draw, factor, False), 0.817
        )
        for factor, start in ((1.0, "the paper's start"), (2.0, "steps twice as large"))
    }


class FakeQuantized(nn.Module):
    """Notebook 04's layer: 3-bit weights on given scales, an 8-bit input on a given grid."""

    qmin, qmax, input_bits = -4, 3, 8

    def __init__(self, linear: nn.Linear, scale: Tensor, low: float, high: float) -> None:
        """Take over `linear`; [low, high] holds 0."""
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("weight_scale", scale)
        self.register_buffer("input_scale", torch.tensor((high - low) / 255))
        self.register_buffer(
            "input_zero_point", torch.tensor(round(-255 * low / (high - low)), dtype=torch.int32)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out), rounding in float32."""
        zeros = torch.zeros(len(self.weight), dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.weight_scale, zeros, 0, -4, 3)
        grid = float(self.input_scale), int(self.input_zero_point)
        return nn.functional.linear(
            torch.fake_quantize_per_tensor_affine(x, *grid, 0, 255), weight, self.bias
        )


def same_answers(draw: Draw, generator: torch.Generator) -> Measured:
    """Notebook 04: answers kept by the conversion, and by one that estimates its scales again."""
    linears = ops.linear_layers(draw.model)
    seen = ops.layer_inputs(draw.model, list(linears), [{"pixel_values": draw.calibration}])
    taught = copy.deepcopy(draw.model)
    for name, layer in linears.items():
        spread = 0.7 + 0.5 * torch.rand(len(layer.weight), generator=generator)
        scale = spread * lsq_initial_step(layer.weight, 3, per_row=True).flatten()
        low, high = min(seen[name].min().item(), 0.0), max(seen[name].max().item(), 0.0)
        ops.set_module(taught, name, FakeQuantized(copy.deepcopy(layer), scale, low, high))
    estimated = copy.deepcopy(taught)
    for module in estimated.modules():
        if isinstance(module, FakeQuantized):
            module.weight_scale = module.weight.detach().abs().amax(1) / 3
    answers = [
        evaluation.logits(model, draw.validation).argmax(-1)
        for model in (taught, convert(taught), convert(estimated))
    ]
    kept, guessed = ((answers[0] == other).double().mean().item() for other in answers[1:])
    return {"share of pictures with the same answer": entry(kept, guessed, 0.99)}


def quantization_aware_training(seed: int) -> Measured:
    """Every measured check of Lab 3.2 under one seed, and what is reported beside them."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    draw = Draw(generator)
    return {**training_loop(draw), **learned_steps(draw), **same_answers(draw, generator)}
