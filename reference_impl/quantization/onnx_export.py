"""Quantizing an exported graph with onnxruntime, without the nodes that 8 bits would break."""

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

from labkit import compat, onnx_graph


def nodes_to_exclude(
    nodes: list[dict[str, Any]], ranges: dict[str, list[float]], *, limit: float = 1e4
) -> list[str]:
    """Name the nodes that touch a tensor too wide for an 8-bit grid.

    Args:
        nodes: the graph, in order: {"name": str, "op_type": str, "inputs": [tensor names],
            "outputs": [tensor names]}.
        ranges: {tensor name: [smallest, largest value]} of the float tensors, observed on calibration
            data; constants included. Tensors without an entry hold integers or booleans and do not
            count.
        limit: a tensor is too wide when its smallest or largest value is larger than `limit` in
            magnitude.

    Returns:
        Names of the nodes of which at least one input or at least one output is too wide, in the
        order of `nodes`. The name and the type of an operator play no part.

    The attention mask is such a tensor: 0 for a token and -3.4e38 for padding. A grid over that range
    has steps of 1.3e36, so every attention score becomes 0.
    """
    ### BEGIN SOLUTION
    wide = {name for name, bounds in ranges.items() if max(abs(value) for value in bounds) > limit}
    return [node["name"] for node in nodes if wide & {*node["inputs"], *node["outputs"]}]
    ### END SOLUTION


def quantize_onnx(
    source: str,
    target: str,
    batches: list[dict[str, Tensor]],
    *,
    op_types: list[str] | None = None,
    exclude: list[str] | None = None,
) -> None:
    """Write a statically quantized copy of an ONNX file.

    Args:
        source: path of the float32 file.
        target: path of the file to write.
        batches: calibration batches, one tensor for each input of the graph.
        op_types: types of operator to quantize, such as ["MatMul", "Gemm", "Gather"]; None for every
            type that onnxruntime can quantize.
        exclude: names of nodes that stay in float32 although their type is quantized.

    The file holds QuantizeLinear and DequantizeLinear nodes (the "QDQ" format), int8 weights with one
    scale a channel, and uint8 activations with min-max ranges. First run
    `onnxruntime.quantization.shape_inference.quant_pre_process(source, prepared,
    skip_symbolic_shape=True)` into a temporary file, then
    `onnxruntime.quantization.quantize_static` on that; `labkit.onnx_graph.Reader(batches)` is its
    calibration data reader. Call it inside `with compat.onnxruntime_advice():`, which keeps advice
    that does not apply here off stderr.
    """
    ### BEGIN SOLUTION
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, compat.onnxruntime_advice():
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            onnx_graph.Reader(batches),
            quant_format=QuantFormat.QDQ,
            calibrate_method=CalibrationMethod.MinMax,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=op_types,
            nodes_to_exclude=exclude or [],
        )
    ### END SOLUTION
