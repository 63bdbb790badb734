"""The report: closed forms for sizes and operations, exact quality, a clock that can be injected."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labkit import compat, evaluation, ops, zoo


class FakeClock:
    """Each pair of readings is as far apart as the next of ``steps``, in seconds."""

    def __init__(self, steps: list[float]) -> None:
        self.times = [0.0]
        for step in steps:
            self.times += [self.times[-1] + step, self.times[-1] + step]
        self.index = 0

    def __call__(self) -> float:
        self.index += 1
        return self.times[self.index - 1]


def header(model: nn.Module) -> int:
    from safetensors.torch import save

    return len(save(model.state_dict())) - sum(
        v.numel() * v.element_size() for v in model.state_dict().values()
    )


def test_bytes_are_four_a_weight_and_a_header() -> None:
    model = zoo.build("encoder")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert evaluation.parameter_count(model) == count
    assert evaluation.stored_bytes(model) == 4 * count + header(model)
    assert evaluation.bits_per_weight(model) == pytest.approx(32, rel=0.02)


def test_a_tied_head_is_stored_once() -> None:
    tied = evaluation.stored_bytes(zoo.build("llama"))
    free = evaluation.stored_bytes(zoo.build("llama", tie_word_embeddings=False))
    assert free - tied == pytest.approx(4 * 512 * 128, abs=200)


def test_eight_bit_buffers_count_one_byte() -> None:
    class Eight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(-7, 8, (64, 32)).to(torch.int8))
            self.register_buffer("scale", torch.ones(64))

    model = Eight()
    assert evaluation.parameter_count(model) == 64 * 32
    assert evaluation.stored_bytes(model) == 64 * 32 + 4 * 64 + header(model)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 99))
def test_sparsity_counts_exact_zeros_of_matrices(rows: int, columns: int, seed: int) -> None:
    layer = nn.Linear(columns, rows)
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < 0.5
    with torch.no_grad():
        layer.weight.fill_(1.0).masked_fill_(mask, 0.0)
        layer.bias.zero_()
    assert evaluation.sparsity(layer) == pytest.approx(mask.float().mean().item())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_macs_of_llama_equal_the_closed_form(attention: str) -> None:
    tokens, width, inner, key_width, layers, vocabulary = 48, 128, 384, 64, 4, 512
    linear = 2 * width * width + 2 * width * key_width + 3 * width * inner
    products = 2 * tokens * width  # queries with keys, weights with values, for each token
    rotary = 16 * tokens  # the rotary angles are a product of positions and 16 frequencies
    expected = tokens * (layers * (linear + products) + vocabulary * width) + rotary
    model = zoo.build("llama", attention=attention).eval()
    ids = torch.randint(5, 500, (1, tokens))
    assert evaluation.macs(model, {"input_ids": ids}) == pytest.approx(expected, abs=rotary)


def test_macs_of_the_encoder_equal_the_closed_form() -> None:
    tokens, width, inner, layers = 16, 64, 256, 3
    each = tokens * (4 * width * width + 2 * width * inner) + 2 * tokens * tokens * width
    expected = tokens * 49 * width + layers * each + width * 10
    assert (
        evaluation.macs(zoo.build("encoder").eval(), {"pixel_values": torch.zeros(1, 1, 28, 28)}) == expected
    )


def test_zeros_do_not_save_operations_but_smaller_layers_do() -> None:
    inputs = {"pixel_values": torch.zeros(1, 1, 28, 28)}
    model = zoo.build("encoder").eval()
    before = evaluation.macs(model, inputs)
    with torch.no_grad():
        for layer in ops.linear_layers(model).values():
            layer.weight.zero_()
    assert evaluation.macs(model, inputs) == before
    assert evaluation.macs(zoo.build("encoder", intermediate_size=128).eval(), inputs) < before


def test_torch_dynamic_quantization_is_counted() -> None:
    model = zoo.build("bert").eval()
    quantized = compat.quantize_dynamic(model)
    inputs = {"input_ids": torch.randint(5, 500, (1, 16))}
    assert evaluation.macs(quantized, inputs) == evaluation.macs(model, inputs)
    assert evaluation.parameter_count(quantized) == evaluation.parameter_count(model)
    assert evaluation.stored_bytes(quantized) < 0.5 * evaluation.stored_bytes(model)


def test_latency_is_the_median_after_warm_up_in_turns() -> None:
    order: list[str] = []
    times = evaluation.latencies(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")},
        repeats=3,
        clock=FakeClock([0.001, 0.010, 0.003, 0.020, 0.002, 0.090]),
    )
    assert order == ["a", "b"] * 6
    assert times["a"].median == pytest.approx(2) and times["b"].median == pytest.approx(20)
    assert times["a"].spread == pytest.approx(1) and times["b"].spread == pytest.approx(40)
    with pytest.raises(ValueError, match="at least one"):
        evaluation.latencies({}, repeats=0)


def test_accuracy_and_perplexity_by_hand() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert evaluation.accuracy(logits, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    uniform = torch.zeros(2, 5, 7)
    assert evaluation.perplexity(uniform, torch.randint(7, (2, 5))) == pytest.approx(7)


def test_quality_leaves_the_mode_and_runs_in_eval() -> None:
    model = zoo.build("encoder").train()
    rows = {"pixel_values": torch.randn(40, 1, 28, 28), "labels": torch.randint(10, (40,))}
    assert evaluation.quality(model, rows) == evaluation.quality(model, rows)
    assert model.training


def test_perplexity_does_not_depend_on_the_batch() -> None:
    model = zoo.build("llama", num_hidden_layers=1).eval()
    ids = torch.randint(5, 500, (130, 16))
    whole = evaluation.perplexity(evaluation.logits(model, {"input_ids": ids}), ids)
    assert evaluation.quality(model, {"input_ids": ids})[1] == pytest.approx(whole, rel=1e-6)


def test_recovery_is_one_for_the_baseline_of_either_metric() -> None:
    assert evaluation.recovery("accuracy", 0.8, 0.8) == evaluation.recovery("perplexity", 9.0, 9.0) == 1
    assert evaluation.recovery("perplexity", 18.0, 9.0) == 0.5
    with pytest.raises(ValueError, match="no metric"):
        evaluation.recovery("loss", 1, 1)


def test_report_of_a_model_and_its_compressed_copy(
    trained: Callable[..., Any], rows: Callable[[str, str], dict[str, torch.Tensor]]
) -> None:
    model = trained("bert")
    chosen = {key: value[:200] for key, value in rows("languages", "validation").items()}
    packed = evaluation.Entry(ops.snap_weights(copy.deepcopy(model), 8), stored_bytes=600_000)
    frame = evaluation.report({"fp32": model, "int8": packed}, chosen, repeats=2)
    again = evaluation.report({"fp32": model, "int8": packed}, chosen, repeats=2)
    fixed = [column for column in frame.columns if not column.startswith("latency")]
    pandas.testing.assert_frame_equal(frame[fixed], again[fixed])
    assert frame.loc["int8", "bytes"] == 600_000
    assert frame.loc["int8", "times smaller"] == evaluation.stored_bytes(model) / 600_000
    assert frame.loc["fp32", "recovery"] == 1 and frame.loc["int8", "recovery"] > 0.97
    shown = evaluation.show(frame)
    assert "560,170" in shown and "nan" not in shown


def test_report_refuses_an_unknown_baseline() -> None:
    with pytest.raises(ValueError, match="none of the models"):
        evaluation.report({"a": zoo.build("encoder")}, {}, baseline="b")
    with pytest.raises(ValueError, match="none of the models"):
        evaluation.report({}, {})


def test_an_onnx_file_is_a_row_too(
    tmp_path: Path, rows: Callable[[str, str], dict[str, torch.Tensor]]
) -> None:
    chosen = {key: value[:40] for key, value in rows("languages", "validation").items()}
    model = zoo.build("bert", attention="eager").eval()
    inputs = {key: value[:2] for key, value in chosen.items() if key != "labels"}
    file = compat.export_onnx(model, inputs, tmp_path / "bert.onnx")
    frame = evaluation.report({"torch": model, "onnx": evaluation.onnx_entry(file)}, chosen, repeats=1)
    assert frame.loc["onnx", "bytes"] == file.stat().st_size
    assert frame.loc["onnx", "accuracy"] == frame.loc["torch", "accuracy"]
    assert math.isnan(frame.loc["onnx", "MACs a row"]) and "–" in evaluation.show(frame)
    with pytest.raises(FileNotFoundError):
        evaluation.onnx_entry(tmp_path / "none.onnx")
