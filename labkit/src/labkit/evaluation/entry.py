"""A row of the report: a model, or something that answers like one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, from_numpy, nn

from labkit.evaluation.quality import Predict


@dataclass(frozen=True)
class Entry:
    """A model with what can not be read off it.

    Attributes:
        model: a module, or a callable that takes a dict of tensors and returns logits.
        stored_bytes: replaces the measured bytes; needed where weights are stored otherwise than they are
            computed with (fake quantization, packed 4-bit weights) or where ``model`` is no module.
        parameters: replaces the counted weights.
        sparsity: replaces the counted share of zeros.
        macs: replaces the counted multiply-accumulates a row.
    """

    model: nn.Module | Predict
    stored_bytes: int | None = None
    parameters: int | None = None
    sparsity: float | None = None
    macs: int | None = None


def onnx_entry(path: str | Path) -> Entry:
    """Return an entry that runs an ONNX file with onnxruntime on one thread.

    Bytes are the file's; weights and zeros are counted in the matrices the graph stores, whatever their type.

    Raises:
        FileNotFoundError: there is no such file.
    """
    import numpy as np
    import onnx
    import onnxruntime

    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no ONNX file at {file}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    wanted = {item.name for item in session.get_inputs()}

    def predict(inputs: dict[str, Tensor]) -> Tensor:
        feed = {key: value.numpy() for key, value in inputs.items() if key in wanted}
        return from_numpy(session.run(None, feed)[0])

    stored = [onnx.numpy_helper.to_array(item) for item in onnx.load(file).graph.initializer]
    matrices = [array for array in stored if array.ndim >= 2]
    entries = sum(array.size for array in matrices)
    zeros = sum(int(np.count_nonzero(array == 0)) for array in matrices)
    return Entry(
        predict,
        stored_bytes=file.stat().st_size,
        parameters=sum(math.prod(array.shape) for array in stored if array.ndim >= 1),
        sparsity=zeros / entries if entries else 0.0,
    )
