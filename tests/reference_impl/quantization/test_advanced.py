"""Equalization, bias correction, AdaRound, the fallback search and the ONNX graph."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labkit import compat, data, evaluation, onnx_graph, zoo
from reference_impl.quantization.adaround import adaround
from reference_impl.quantization.bias_correction import bias_correction
from reference_impl.quantization.equalization import cross_layer_equalization
from reference_impl.quantization.fallback import select_layers_to_keep_fp32
from reference_impl.quantization.onnx_export import nodes_to_exclude, quantize_onnx

from .strategies import normal


def pair(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = 10 ** (2 * torch.rand(2, 6, generator=generator) - 1)
    first = torch.randn(6, 4, generator=generator) * size[0, :, None]
    second = torch.randn(3, 6, generator=generator) * size[1]
    return first, torch.randn(6, generator=generator), second, torch.randn(3, generator=generator)


@given(st.integers(0, 200), st.sampled_from(["relu", "value_output"]))
def test_equalization_preserves_the_function(seed: int, between: str) -> None:
    """Does the pair compute the same, with equal ranges?"""
    original = pair(seed)
    even = cross_layer_equalization(*original, between=between)
    x = normal(9, 4, seed=seed).double()

    def output(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden = x @ w1.double().T + b1
        return (hidden.relu() if between == "relu" else hidden) @ w2.double().T + b2

    after = output(*(even[key] for key in ("weight_1", "bias_1", "weight_2", "bias_2")))  # type: ignore[misc]
    torch.testing.assert_close(after, output(*original), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(even["weight_1"].abs().amax(1), even["weight_2"].abs().amax(0))  # type: ignore[union-attr]


@given(st.integers(0, 200))
def test_equalization_preserves_attention_scores(seed: int) -> None:
    """Are the products of queries and keys the same?"""
    query, query_bias, _, _ = pair(seed)
    key, key_bias, _, _ = pair(seed + 1000)
    even = cross_layer_equalization(query, query_bias, key, key_bias, between="query_key")
    x = normal(7, 4, seed=seed).double()

    def scores(wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor) -> Tensor:
        return (x @ wq.double().T + bq) @ (x @ wk.double().T + bk).T

    after = scores(*even.values())  # type: ignore[arg-type]
    torch.testing.assert_close(after, scores(query, query_bias, key, key_bias), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("between", ["gelu", "layer_norm", ""])
def test_other_pairs_are_refused(between: str) -> None:
    """Is a pair whose function would change an error?"""
    with pytest.raises(ValueError, match="does not pass"):
        cross_layer_equalization(*pair(0), between=between)


@given(st.integers(0, 200), st.booleans())
def test_bias_correction_removes_the_mean_error(seed: int, with_bias: bool) -> None:
    """Is the mean error over tokens zero in every output channel?"""
    generator = torch.Generator().manual_seed(seed)
    weight, x = torch.randn(5, 7, generator=generator), torch.randn(3, 6, 7, generator=generator) + 1
    rounded = torch.round(weight * 2) / 2
    mask = (torch.arange(6) < torch.randint(1, 7, (3, 1), generator=generator)).long()
    bias = torch.randn(5, generator=generator) if with_bias else None
    corrected = bias_correction(weight, bias, rounded, x, mask)
    tokens = x[mask.bool()].double()
    exact = tokens @ weight.double().T + (0 if bias is None else bias.double())
    error = exact - tokens @ rounded.double().T - corrected
    assert error.mean(0).abs().max() < 1e-5


def test_adaround_is_floor_or_ceiling_and_better() -> None:
    """Does learning beat rounding to nearest, within one step of each weight?"""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(16, 16, generator=generator)
    x = torch.randn(200, 16, generator=generator) @ mixing
    weight = torch.randn(6, 16, generator=generator)
    scale = weight.abs().amax(1) / 3
    codes = adaround(weight, scale, x, bits=3, steps=200)
    floor = torch.floor(weight / scale[:, None])
    assert codes.dtype == torch.int8
    assert ((codes == floor) | (codes == floor + 1)).all()
    errors = [
        ((weight - scale[:, None] * q) @ x.T).square().sum()
        for q in (codes, torch.round(weight / scale[:, None]))
    ]
    assert errors[0] < 0.7 * errors[1]


def scripted(costs: dict[str, float]) -> Callable[[list[str]], float]:
    return lambda kept: 0.9 - sum(cost for layer, cost in costs.items() if layer not in kept)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True),
    st.floats(0.001, 0.5),
    st.sampled_from(["relative", "absolute"]),
)
def test_greedy_search_keeps_the_fewest(thousandths: list[int], loss: float, criterion: str) -> None:
    """With independent costs, is no smaller set of layers accepted?"""
    costs = {f"layer{index}": cost / 1000 for index, cost in enumerate(thousandths)}
    target = 0.9 * (1 - loss) if criterion == "relative" else 0.9 - loss
    found = select_layers_to_keep_fp32(
        list(costs), scripted(costs), 0.9, tolerable_loss=loss, criterion=criterion
    )
    assert found["accepted"] is (found["accuracy"] >= target)
    assert found["accepted"]
    dearest = sorted(costs, key=lambda layer: -costs[layer])
    assert found["kept"] == dearest[: len(found["kept"])]
    if found["kept"]:
        assert scripted(costs)(dearest[: len(found["kept"]) - 1]) < target


def test_unknown_criterion_is_refused() -> None:
    """Is a misspelt criterion an error?"""
    with pytest.raises(ValueError, match="criterion"):
        select_layers_to_keep_fp32(["a"], lambda kept: 1.0, 1.0, tolerable_loss=0.1, criterion="percent")


def test_wide_tensors_exclude_their_neighbours() -> None:
    """Is a node out when an input or an output is too wide?"""
    chain = [
        {"name": name, "op_type": "Add", "inputs": [a], "outputs": [b]}
        for name, a, b in (("x", "1", "2"), ("y", "2", "3"), ("z", "3", "4"), ("w", "4", "5"))
    ]
    assert nodes_to_exclude(chain, {"1": [0, 1], "2": [0, 1], "3": [-1e30, 0], "4": [0, 1]}) == ["y", "z"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Tensor]]]:
    """The classifier as an ONNX file, and calibration batches."""
    rows = data.tensors(data.languages()["train"], limit=32)
    batches = [
        {key: rows[key][part] for key in ("input_ids", "attention_mask")}
        for part in (slice(16), slice(16, 32))
    ]
    path = tmp_path_factory.mktemp("onnx") / "float.onnx"
    compat.export_onnx(zoo.load("bert", attention="eager").eval(), batches[0], path)
    return path, batches


def test_the_masks_path_is_found(exported: tuple[Path, list[dict[str, Tensor]]]) -> None:
    """Are the Add and the Softmax of each of four blocks among the wide nodes?"""
    path, batches = exported
    nodes = onnx_graph.nodes(path)
    names = nodes_to_exclude(nodes, onnx_graph.tensor_ranges(path, batches))
    kinds = [node["op_type"] for node in nodes if node["name"] in names]
    assert kinds.count("Add") == kinds.count("Softmax") == 4
    assert len(kinds) < 15


def test_both_operators_have_to_be_left_out(exported: tuple[Path, list[dict[str, Tensor]]]) -> None:
    """Does accuracy return only when neither Add nor Softmax is quantized?"""
    path, batches = exported
    nodes = onnx_graph.nodes(path)
    wide = nodes_to_exclude(nodes, onnx_graph.tensor_ranges(path, batches))
    kinds = {node["name"]: node["op_type"] for node in nodes}
    rows = data.tensors(data.languages()["validation"], limit=400)

    def accuracy(exclude: list[str]) -> float:
        target = path.with_name("int8.onnx")
        quantize_onnx(str(path), str(target), batches, exclude=exclude)
        return evaluation.quality(evaluation.onnx_entry(target).model, rows)[1]

    both = accuracy(wide)
    for kind in ("Add", "Softmax"):
        assert accuracy([name for name in wide if kinds[name] == kind]) < both - 0.05


def test_the_smallest_file(exported: tuple[Path, list[dict[str, Tensor]]]) -> None:
    """Is the file of quantized matrices a third of the original?"""
    path, batches = exported
    target = path.with_name("matrices.onnx")
    quantize_onnx(str(path), str(target), batches, op_types=["MatMul", "Gemm", "Gather"])
    assert path.stat().st_size > 3.0 * target.stat().st_size
