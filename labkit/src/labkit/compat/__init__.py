"""Make libraries of different years work together and stay silent on stderr.

``shims``    import a library that needs a name newer versions removed.
``filters``  calls that warn, without the one named warning.
``logs``     log lines that arrive on stderr while a library is imported or called.
``nni_search``  nni's search and experiments, in one folder and on one machine.
"""

from labkit.compat.filters import (
    export_onnx,
    onnxruntime_advice,
    quantize_dynamic,
    to_sparse_csr,
    torch_ao,
    without_warning,
)
from labkit.compat.logs import quiet_imports, without_log
from labkit.compat.nni_search import load_nni_nas, nni_in
from labkit.compat.progress import without_progress_bars
from labkit.compat.shims import (
    awq_on_cpu,
    gptq_on_cpu,
    load_auto_gptq,
    load_awq,
    load_neural_compressor,
    load_nni_speedup,
    load_textbrewer,
)

__all__ = [
    "awq_on_cpu",
    "export_onnx",
    "gptq_on_cpu",
    "load_auto_gptq",
    "load_awq",
    "load_neural_compressor",
    "load_nni_nas",
    "load_nni_speedup",
    "load_textbrewer",
    "nni_in",
    "onnxruntime_advice",
    "quantize_dynamic",
    "quiet_imports",
    "to_sparse_csr",
    "torch_ao",
    "without_log",
    "without_progress_bars",
    "without_warning",
]
