"""The same network as three ONNX files: float32, 8 bits, 4 bits."""

import logging
from pathlib import Path

import numpy
import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from torch import Tensor, nn

from labkit import compat, onnx_graph
from reference_impl.quantization.onnx_export import nodes_to_exclude, quantize_onnx

BLOCK = 32
"""Weights that share a scale in the 4-bit file."""


def inputs_of(rows: dict[str, Tensor], count: int | None = None) -> dict[str, Tensor]:
    """The first rows, or all of them, without labels."""
    return {key: value[:count] for key, value in rows.items() if key != "labels"}


def in_batches(inputs: dict[str, Tensor], size: int = 16) -> list[dict[str, Tensor]]:
    """Calibration batches, in order."""
    count = len(next(iter(inputs.values())))
    return [
        {key: value[start : start + size] for key, value in inputs.items()} for start in range(0, count, size)
    ]


def write_float(network: nn.Module, inputs: dict[str, Tensor], path: Path) -> None:
    """Export a network in eval mode with written-out attention."""
    compat.export_onnx(network, inputs, path)


def write_int8(source: Path, target: Path, batches: list[dict[str, Tensor]]) -> None:
    """Static 8-bit weights and activations; what the attention mask would break stays in float32."""
    with compat.onnxruntime_advice():
        excluded = nodes_to_exclude(
            onnx_graph.nodes(str(source)), onnx_graph.tensor_ranges(str(source), batches)
        )
        quantize_onnx(
            str(source), str(target), batches, op_types=["MatMul", "Gemm", "Gather"], exclude=excluded
        )


def write_int4(source: Path, target: Path) -> None:
    """4-bit weights in blocks of 32 for matrix products and embeddings; activations stay in float32."""
    # it reports every node, and that it raises the file's opset for the 4-bit type
    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.ERROR)
    quantizer = MatMulNBitsQuantizer(
        onnx.load(source), block_size=BLOCK, is_symmetric=True, op_types_to_quantize=("MatMul", "Gather")
    )
    with numpy.errstate(invalid="ignore"):  # a block of zeros has the scale 0, which it catches afterwards
        quantizer.process()
    quantizer.model.save_model_to_file(str(target), False)
