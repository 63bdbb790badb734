"""Look into an ONNX file: its nodes, and the range of each tensor while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from torch import Tensor


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration batches, one after the other, in the form onnxruntime asks for."""

    def __init__(self, batches: Sequence[Mapping[str, Tensor]]) -> None:
        """Take dicts of one tensor for each input of the graph."""
        self._feeds = iter([_feed(batch) for batch in batches])

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None at the end."""
        return next(self._feeds, None)


def nodes(path: str | Path) -> list[dict[str, Any]]:
    """Return the graph's nodes in order: name, op_type, names of inputs and of outputs."""
    import onnx

    return [
        {"name": node.name, "op_type": node.op_type, "inputs": list(node.input), "outputs": list(node.output)}
        for node in onnx.load(path).graph.node
    ]


def tensor_ranges(path: str | Path, batches: Sequence[Mapping[str, Tensor]]) -> dict[str, list[float]]:
    """Run the graph and return [smallest, largest] of every float tensor in it, constants included.

    Args:
        path: of an ONNX file.
        batches: what to run it on, one tensor for each input of the graph.
    """
    import onnx
    import onnxruntime

    model = onnx.load(path)
    ranges = {
        item.name: _bounds(onnx.numpy_helper.to_array(item))
        for item in model.graph.initializer
        if onnx.numpy_helper.to_array(item).dtype.kind == "f"
    }
    known = {item.name for item in model.graph.output}
    inner = [name for node in model.graph.node for name in node.output if name and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Fusing operators would make the tensors between them disappear.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_outputs()]
    for batch in batches:
        for name, value in zip(names, session.run(None, _feed(batch)), strict=True):
            if value.dtype.kind == "f" and value.size:
                low, high = _bounds(value)
                before = ranges.get(name, [low, high])
                ranges[name] = [min(low, before[0]), max(high, before[1])]
    return ranges


def _bounds(value: Any) -> list[float]:
    array = np.asarray(value, dtype=np.float64)
    return [float(array.min()), float(array.max())] if array.size else [0.0, 0.0]


def _feed(batch: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in batch.items()}
