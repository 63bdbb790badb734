"""One report for any model, compressed or not.

    from labkit import data, evaluation
    evaluation.report({"fp32": model, "int8": quantized}, data.languages()["validation"])

A row a model: bytes on disk, bits a weight, sparsity, parameters, multiply-accumulates, latency with its
spread, accuracy or perplexity, and how much of the baseline's quality is left. Every column but latency is
the same in each run.
"""

from labkit.evaluation.costs import Latency, latencies, macs
from labkit.evaluation.entry import Entry, onnx_entry
from labkit.evaluation.quality import accuracy, logits, perplexity, quality, recovery
from labkit.evaluation.report import report, show
from labkit.evaluation.sizes import bits_per_weight, parameter_count, sparsity, stored_bytes

__all__ = [
    "Entry",
    "Latency",
    "accuracy",
    "bits_per_weight",
    "latencies",
    "logits",
    "macs",
    "onnx_entry",
    "parameter_count",
    "perplexity",
    "quality",
    "recovery",
    "report",
    "show",
    "sparsity",
    "stored_bytes",
]
