"""Coverage-guided fuzzing of the wire: whatever bytes come, the decoder answers with a value or NotAValue.

    python -m tests.labkit.fuzz_codec CORPUS -max_total_time=3600

`CORPUS` is a folder; seeds are put into it first. The first byte of an input chooses how the rest is framed,
so that the fuzzer does not have to guess base64 and lengths.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import atheris
import torch

with atheris.instrument_imports(include=["labkit.values"]):
    from labkit import values

SEEDS = [
    None,
    1,
    -2.5,
    "text",
    [1, (2.0, {"a": [None, True]})],
    {"w": torch.arange(6.0).reshape(2, 3), 3: "x"},
]
LIMITS = ["-rss_limit_mb=4096", "-timeout=10", "-max_len=4096", "-print_final_stats=1"]


def frame(data: bytes) -> str:
    """A message made of fuzzed bytes: as they are, as raw content, as a tree, or as a block of tensors."""
    kind, rest = data[:1], data[1:]
    if kind == b"t":
        return rest.decode("latin-1")
    if kind == b"j":
        tree, _, body = rest.partition(b"\0")
        rest = len(tree).to_bytes(8, "little") + tree + body
    if kind == b"s":
        header, _, body = rest.partition(b"\0")
        tree = b'{"list": [{"tensor": "t0"}, {"tensor": "t1"}]}'
        block = len(header).to_bytes(8, "little") + header + body
        rest = len(tree).to_bytes(8, "little") + tree + block
    return base64.b64encode(rest).decode("ascii")


def one_input(data: bytes) -> None:
    """Decode one input; any error but NotAValue ends the run and leaves the input in a file."""
    for finite in (True, False):
        try:
            value = values.decode(frame(data), finite=finite)
        except values.NotAValue:
            continue
        again = values.decode(values.encode(value), finite=False)
        if type(again) is not type(value):
            raise RuntimeError(f"a value came back as another: {value!r:.200}")


def write_seeds(corpus: Path) -> None:
    """Valid messages in each framing."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS):
        raw = base64.b64decode(values.encode(seed))
        length = int.from_bytes(raw[:8], "little")
        tree, body = raw[8 : 8 + length], raw[8 + length :]
        (corpus / f"raw{number}").write_bytes(b"r" + raw)
        (corpus / f"tree{number}").write_bytes(b"j" + tree + b"\0" + body)
        header = int.from_bytes(body[:8], "little")
        (corpus / f"tensors{number}").write_bytes(b"s" + body[8 : 8 + header] + b"\0" + body[8 + header :])


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
    atheris.Setup([*sys.argv, *LIMITS], one_input)
    atheris.Fuzz()
