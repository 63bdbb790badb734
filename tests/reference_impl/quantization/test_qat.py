"""Quantization-aware training: the layer, the prepared model, the loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import ops
from reference_impl.quantization.hidden_inputs_training import clear_of_ties, layer_batches, weight_off_ties
from reference_impl.quantization.qat import QATLinear, prepare_qat, train_qat

from .strategies import normal


class Network(nn.Module):
    """Two linear layers, one nested, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Dropout(0.5), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, pixel_values: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(pixel_values))
        return logits


def rows(count: int, seed: int) -> dict[str, Tensor]:
    x = normal(count, 6, seed=seed)
    return {"pixel_values": x, "labels": x[:, :3].argmax(1)}


@given(st.integers(0, 40), st.sampled_from([(8, 8), (4, 4), (2, 4)]))
def test_layer_computes_on_both_grids(seed: int, widths: tuple[int, int]) -> None:
    """Is the output that of a snapped weight and a snapped input, in both modes?"""
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(12, 5)
    linear.weight.data = weight_off_ties(5, 12, widths[0], generator)
    (first, *_), (bounds, *_) = layer_batches(12, widths[1], generator)
    layer = QATLinear(linear, weight_bits=widths[0], input_bits=widths[1])
    expected = nn.functional.linear(
        ops.snap_between(first, *bounds, widths[1]),
        ops.snap(linear.weight.detach(), widths[0], axis=0),
        linear.bias,
    )
    torch.testing.assert_close(layer.train()(first), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.eval()(first), expected, atol=1e-5, rtol=1e-5)


@given(st.integers(0, 40))
def test_range_is_a_moving_average_in_train_mode_only(seed: int) -> None:
    """Do ranges move by a tenth in train mode, and never in eval mode or once frozen?"""
    batches, ranges = layer_batches(12, 4, torch.Generator().manual_seed(seed))
    layer = QATLinear(nn.Linear(12, 5), weight_bits=4, input_bits=4).train()
    for batch, bounds in zip(batches, ranges, strict=True):
        layer(batch)
        assert (layer.low.item(), layer.high.item()) == pytest.approx(bounds, rel=1e-5)
    layer.observing = False
    layer(100 * batches[0])
    layer.observing = True
    layer.eval()(100 * batches[0])
    assert (layer.low.item(), layer.high.item()) == pytest.approx(ranges[-1], rel=1e-5)


def test_prepared_model_leaves_the_original_alone() -> None:
    """Is the copy a copy, in the same mode, with ranges of the float32 model and no hooks?"""
    model = Network().train()
    x = normal(50, 6, seed=1)
    prepared = prepare_qat(model, x, weight_bits=2, input_bits=4)
    assert prepared.training and model.training
    assert isinstance(prepared.body[0], QATLinear) and isinstance(prepared.head, QATLinear)
    hidden = model.eval().body(x)
    assert prepared.head.high.item() == pytest.approx(hidden.max().item(), rel=1e-6)
    prepared.head.weight.data.add_(1.0)
    assert not torch.equal(prepared.head.weight, model.head.weight)
    assert not any(module._forward_pre_hooks for module in [*prepared.modules(), *model.modules()])


def test_keep_leaves_layers_in_float32() -> None:
    """Do layers whose name contains a part of `keep` stay?"""
    prepared = prepare_qat(Network(), normal(9, 6, seed=1), weight_bits=2, input_bits=4, keep=("body",))
    assert type(prepared.body[0]) is nn.Linear
    assert type(prepared.head) is QATLinear


def test_training_freezes_ranges_and_moves_float_weights() -> None:
    """Are ranges those of the last observing epoch, and weights off their grid?"""
    results = []
    for epochs in (1, 3):
        torch.manual_seed(0)
        model = prepare_qat(Network(), rows(64, 1)["pixel_values"], weight_bits=3, input_bits=4)
        before = model.body[0].weight.detach().clone()
        history = train_qat(
            model,
            rows(256, 1),
            rows(64, 2),
            epochs=epochs,
            freeze_after=epochs - 2 if epochs > 1 else 1,
            batch_size=32,
        )
        results.append(history)
        moved = model.body[0].weight.detach()
        assert not torch.equal(before, moved)
        assert not torch.allclose(moved, ops.snap(moved, 3, axis=0))
        assert not model.training
    assert [report["observing"] for report in results[1]] == [1.0, 0.0, 0.0]


def test_frozen_ranges_do_not_move() -> None:
    """Does freezing at once keep the calibrated ranges?"""
    model = prepare_qat(Network(), rows(64, 1)["pixel_values"], weight_bits=3, input_bits=4)
    before = model.head.high.item()
    train_qat(model, rows(256, 1), rows(64, 2), epochs=1, freeze_after=0, batch_size=32)
    assert model.head.high.item() == before


def test_training_learns_and_repeats() -> None:
    """Does the loss fall, and does one seed give one result?"""
    histories = []
    for _ in range(2):
        torch.manual_seed(0)
        model = prepare_qat(Network(), rows(64, 1)["pixel_values"], weight_bits=4, input_bits=8)
        histories.append(
            train_qat(model, rows(512, 1), rows(64, 2), epochs=4, freeze_after=1, learning_rate=0.01, seed=3)
        )
    assert histories[0] == histories[1]
    assert histories[0][-1]["loss"] < histories[0][0]["loss"]


def test_ties_are_recognised() -> None:
    """Is a value half way between two codes seen?"""
    assert not clear_of_ties(torch.tensor([0.5]), 0.0, 3.0, 2)
    assert clear_of_ties(torch.tensor([0.4]), 0.0, 3.0, 2)
