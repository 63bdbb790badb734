"""Import libraries that were written for older versions of torch and transformers.

Each function puts back a name or a constant that newer versions removed, then imports the library and returns
its module. No algorithm is touched. ``REASONS`` says what each shim is for; a test fails when the library
imports without it, so that a shim does not outlive its reason.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import warnings
from collections.abc import Iterator
from types import MethodDescriptorType, MethodWrapperType, ModuleType
from typing import Any

from labkit.compat.filters import without_warning
from labkit.compat.logs import quiet_imports, without_log

REASONS = {
    "auto_gptq": "0.7.1 imports no_init_weights, PEFT_TYPE_TO_MODEL_MAPPING and hub functions from places "
    "that transformers 5 and peft 0.21 moved them from, and names cuda:0 as its only device.",
    "awq": "0.2.9 asks for Triton and for Intel's extension on a machine without a GPU, though it has a path "
    "in plain torch; importing it prints a farewell notice.",
    "nni": "3.0's speed-up looks at three torch functions whose module is None, and replaces is_impure by a "
    "function of one argument where torch 2.6 and later give two.",
    "neural_compressor": "3.10 logs to stderr that it found a CPU.",
    "textbrewer": "0.2.1 compares with 'is not' and a literal and writes LaTeX in plain strings, which "
    "Python remarks on while it compiles them.",
}


def load_auto_gptq() -> ModuleType:
    """Return ``auto_gptq``, able to quantize on the CPU."""
    quiet_imports()
    import huggingface_hub
    import torch
    from transformers import modeling_utils
    from transformers.initialization import no_init_weights
    from transformers.utils import hub

    _put_back(modeling_utils, "no_init_weights", lambda _enable=True: no_init_weights())
    for name in ("CommitOperationAdd", "create_commit", "create_repo"):
        _put_back(hub, name, getattr(huggingface_hub, name))
    peft_mapping = importlib.import_module("peft.mapping")
    peft_model = importlib.import_module("peft.peft_model")
    _put_back(
        peft_model, "PEFT_TYPE_TO_MODEL_MAPPING", getattr(peft_mapping, "PEFT_TYPE_TO_TUNER_MAPPING", {})
    )
    _put_back(peft_mapping, "PEFT_TYPE_TO_CONFIG_MAPPING", {})
    with contextlib.ExitStack() as stack:
        for kernel in ("qlinear_cuda", "qlinear_cuda_old"):
            stack.enter_context(
                without_log(f"auto_gptq.nn_modules.qlinear.{kernel}", "CUDA extension not installed.")
            )
        stack.enter_context(without_warning(FutureWarning, r"`torch\.cuda\.amp\.custom_"))
        module = importlib.import_module("auto_gptq")
        base = importlib.import_module("auto_gptq.modeling._base")
    _errors_only("auto_gptq")
    if not torch.cuda.is_available():
        base.CUDA_0 = torch.device("cpu")  # type: ignore[attr-defined]
    return module


@contextlib.contextmanager
def gptq_on_cpu(layers: Any) -> Iterator[None]:
    """Let ``auto_gptq`` quantize decoder ``layers`` inside the ``with`` block.

    It reads ``layer(...)[0]``, but layers of transformers 4.54 and later return a bare tensor, so a hook
    wraps it; and it calls ``torch.cuda.synchronize`` without CUDA, where it does nothing meanwhile.
    """
    import torch

    def as_tuple(_module: Any, _inputs: Any, output: Any) -> Any:
        return output if isinstance(output, tuple) else (output,)

    hooks = [layer.register_forward_hook(as_tuple) for layer in layers]
    synchronize = torch.cuda.synchronize
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *_: None
    try:
        yield
    finally:
        torch.cuda.synchronize = synchronize
        for hook in hooks:
            hook.remove()


def load_awq() -> ModuleType:
    """Return ``awq`` (the package autoawq), able to quantize and reload on the CPU; it reloads in float16."""
    quiet_imports()
    import torch
    from transformers import activations

    _put_back(activations, "PytorchGELUTanh", activations.GELUTanh)
    with _without_farewell():
        module = importlib.import_module("awq")
        gemm = importlib.import_module("awq.modules.linear.gemm")
        base = importlib.import_module("awq.models.base")
    if not torch.cuda.is_available():
        gemm.TRITON_AVAILABLE = False  # type: ignore[attr-defined]
        # "cpu" alone makes it ask for Intel's extension; "cpu:0" names the same device.
        base.get_best_device = lambda: "cpu:0"  # type: ignore[attr-defined]
    return module


@contextlib.contextmanager
def awq_on_cpu() -> Iterator[None]:
    """Keep the progress bars of ``awq``, and its remark that it has no GPU kernel, off stderr inside the block."""
    modules = [importlib.import_module(name) for name in ("awq.models.base", "awq.quantize.quantizer")]
    bars: list[Any] = [module.tqdm for module in modules]
    for module, bar in zip(modules, bars, strict=True):
        module.tqdm = functools.partial(bar, disable=True)  # type: ignore[attr-defined]
    try:
        with without_warning(UserWarning, r"Using naive \(slow\) implementation"):
            yield
    finally:
        for module, bar in zip(modules, bars, strict=True):
            module.tqdm = bar  # type: ignore[attr-defined]


def load_nni_speedup() -> ModuleType:
    """Return ``nni.compression.speedup``, able to trace a model under torch 2.6 and later."""
    quiet_imports()
    with (
        without_warning(FutureWarning, r"`torch\.utils\._pytree\._register_pytree_node` is deprecated"),
        without_warning(UserWarning, r".* is already registered as pytree node"),
    ):
        module = importlib.import_module("nni.compression.speedup")
        tracer: Any = importlib.import_module("nni.common.concrete_trace_utils.concrete_tracer")
    known = tracer.ConcreteTracer.default_autowrap_leaf_function
    for function in [function for function in known if _has_no_module(function)]:
        del known[function]
    original = tracer.node_is_impure_wrapper
    if not getattr(original, "takes_more", False):

        def wrapper(node: Any, *_: Any, **__: Any) -> Any:
            return original(node)

        wrapper.takes_more = True  # type: ignore[attr-defined]
        tracer.node_is_impure_wrapper = wrapper
    return module


def load_neural_compressor() -> ModuleType:
    """Return ``neural_compressor.torch.quantization`` and keep its log, except errors, off stderr."""
    quiet_imports()
    with _without_records("neural_compressor"):
        module = importlib.import_module("neural_compressor.torch.quantization")
    _errors_only("neural_compressor")
    return module


def load_textbrewer() -> ModuleType:
    """Return ``textbrewer``."""
    with (
        without_warning(SyntaxWarning, '"is not" with'),
        without_warning(SyntaxWarning, "invalid escape sequence"),
        without_warning(DeprecationWarning, "invalid escape sequence"),
    ):
        return importlib.import_module("textbrewer")


@contextlib.contextmanager
def _without_farewell() -> Iterator[None]:
    """Drop the notice that awq prints; awq first puts a rule of its own before any that a caller made."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for item in caught:
        if "final dev message" not in str(item.message):
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)


def _errors_only(package: str) -> None:
    """Set the loggers of a package, which log each step to stderr, to errors."""
    for name in list(logging.root.manager.loggerDict):
        if name == package or name.startswith(f"{package}."):
            logging.getLogger(name).setLevel(logging.ERROR)


def _put_back(module: Any, name: str, value: object) -> None:
    if not hasattr(module, name):
        setattr(module, name, value)


def _has_no_module(function: Any) -> bool:
    if getattr(function, "__module__", None) is not None:
        return False
    if isinstance(function, MethodDescriptorType | MethodWrapperType):
        return False
    return not function.__qualname__.startswith(("_TensorBase", "_VariableFunctionsClass"))


@contextlib.contextmanager
def _without_records(logger_name: str) -> Iterator[None]:
    """Drop everything below an error that one logger says; its handlers may be made inside the block."""
    logger = logging.getLogger(logger_name)

    def errors_only(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger.addFilter(errors_only)
    try:
        yield
    finally:
        logger.removeFilter(errors_only)
