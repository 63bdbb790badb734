"""Library calls that warn, wrapped so that the one named warning does not reach stderr.

Each filter names a category and the start of a message. Other warnings of the same call come through.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

Named = tuple[type[Warning], str]

CSR_IS_BETA: Named = (UserWarning, "Sparse CSR tensor support is in beta state")
TORCH_AO_LEAVES: tuple[Named, ...] = (
    (DeprecationWarning, r"torch\.ao\.quantization is deprecated"),
    (UserWarning, r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other quantized tensor"),
)
LEGACY_EXPORT: tuple[Named, ...] = (
    (DeprecationWarning, r"You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, r"The feature will be removed\. Please remove usage of this function"),
    (UserWarning, r"Exporting aten::index operator of advanced indexing"),
)
TRACED_BRANCH = "Converting a tensor to a Python (boolean|integer|float|number) might cause the trace to be"


@contextlib.contextmanager
def without_warning(category: type[Warning], message: str) -> Iterator[None]:
    """Ignore one warning inside the ``with`` block.

    Args:
        category: its class.
        message: a regular expression that matches the start of its text; it may not be empty.

    Raises:
        ValueError: ``message`` is empty, which would hide every warning of the class.
    """
    if not message:
        raise ValueError("name the warning: an empty message would hide them all")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=category)
        yield


def to_sparse_csr(matrix: Tensor) -> Tensor:
    """Return ``matrix`` (rows, columns) in compressed-sparse-row form, which torch calls beta each time."""
    with without_warning(*CSR_IS_BETA):
        return matrix.to_sparse_csr()


@contextlib.contextmanager
def torch_ao() -> Iterator[None]:
    """Ignore the notice that ``torch.ao.quantization`` and its tensor types are to be removed."""
    with contextlib.ExitStack() as stack:
        for named in TORCH_AO_LEAVES:
            stack.enter_context(without_warning(*named))
        yield


def quantize_dynamic(model: nn.Module, layers: set[type[nn.Module]] | None = None) -> nn.Module:
    """Return a copy of ``model`` with int8 weights and dynamic activations, by ``torch.ao.quantization``.

    Args:
        model: is not changed.
        layers: classes to replace; ``nn.Linear`` by default.
    """
    import torch

    with torch_ao():
        convert: Any = torch.ao.quantization.quantize_dynamic
        quantized: nn.Module = convert(model, layers or {torch.nn.Linear})
    return quantized


def export_onnx(
    model: nn.Module,
    inputs: dict[str, Tensor],
    path: str | Path,
    *,
    opset: int = 17,
    names: Callable[[Any], Tensor] = lambda answer: getattr(answer, "logits", answer),
) -> Path:
    """Write ``model`` as an ONNX file with a free batch size, by the TorchScript exporter.

    The file's inputs carry the names of ``inputs``; its output is ``logits``. Load transformers models with
    ``attention="eager"``: the exporter then sees plain matrix products.

    Args:
        model: in eval mode.
        inputs: example tensors, batch first.
        path: of the file.
        opset: of ONNX.
        names: takes the logits out of the model's answer.

    Returns:
        The path.

    Raises:
        ValueError: the model is in train mode, so dropout would be part of the file.
    """
    import torch
    from torch.jit._trace import TracerWarning

    if model.training:
        raise ValueError("call model.eval() first: the file would hold dropout")
    keys = list(inputs)

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Tensor) -> Tensor:
            return names(self.model(**dict(zip(keys, tensors, strict=True))))

    with contextlib.ExitStack() as stack:
        for named in LEGACY_EXPORT:
            stack.enter_context(without_warning(*named))
        stack.enter_context(without_warning(TracerWarning, TRACED_BRANCH))
        torch.onnx.export(
            Plain().eval(),
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=keys,
            output_names=["logits"],
            dynamic_axes={key: {0: "batch"} for key in [*keys, "logits"]},
        )
    return Path(path)


@contextlib.contextmanager
def onnxruntime_advice() -> Iterator[None]:
    """Drop two remarks of onnxruntime's quantizer that do not apply to the labs.

    It advises to pre-process a model, which the lab does or leaves out on purpose; and it remarks on every
    LayerNorm that a vector has no second axis to quantize along.
    """
    from labkit.compat.logs import without_log

    with (
        without_log("root", "Please consider to run pre-processing before quantization"),
        without_log("root", "is out-of-range for weight"),
    ):
        yield
