"""Looking into an ONNX file: nodes, ranges and calibration batches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from labkit import compat, onnx_graph


class Shifted(nn.Module):
    """A matrix product, a large constant and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, 3) to (batch, 2)."""
        return torch.relu(self.linear(x) - 1e6)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The network as a file."""
    return compat.export_onnx(Shifted().eval(), {"x": torch.ones(2, 3)}, tmp_path / "shifted.onnx")


def test_nodes_are_listed_in_order(exported: Path) -> None:
    """Does each node say what it reads and writes?"""
    nodes = onnx_graph.nodes(exported)
    kinds = [node["op_type"] for node in nodes]
    assert kinds.index("Gemm") < kinds.index("Sub") < kinds.index("Relu")
    assert all(set(node) == {"name", "op_type", "inputs", "outputs"} for node in nodes)


def test_ranges_cover_every_batch(exported: Path) -> None:
    """Are ranges taken over all batches, inner tensors and constants included?"""
    batches = [{"x": torch.zeros(1, 3)}, {"x": torch.full((1, 3), 50.0)}]
    ranges = onnx_graph.tensor_ranges(exported, batches)
    product = next(node["outputs"][0] for node in onnx_graph.nodes(exported) if node["op_type"] == "Gemm")
    alone = onnx_graph.tensor_ranges(exported, batches[:1])[product]
    assert ranges[product][0] <= alone[0] <= alone[1] <= ranges[product][1]
    assert ranges[product] != alone
    assert any(bounds == [1e6, 1e6] for bounds in ranges.values())


def test_reader_ends_with_none() -> None:
    """Does the reader give each batch once?"""
    reader = onnx_graph.Reader([{"x": torch.zeros(1)}, {"x": torch.ones(1)}])
    given = [reader.get_next(), reader.get_next(), reader.get_next()]
    assert [None if feed is None else feed["x"].tolist() for feed in given] == [[0.0], [1.0], None]
