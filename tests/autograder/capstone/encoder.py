"""Write capstone hand-ins, honest ones; tests break them afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from labkit import zoo

CONFIG = {"num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes of some bits one after the other, lowest bit first."""
    places = (codes.flatten().numpy().astype(numpy.uint8)[:, None] >> numpy.arange(bits)) & 1
    return torch.from_numpy(numpy.packbits(places.astype(numpy.uint8).flatten(), bitorder="little"))


def integer(name: str, value: Tensor, bits: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One scale a row, symmetric."""
    top = 2 ** (bits - 1) - 1
    scale = (value.abs().flatten(1).amax(1) / top).clamp_min(1e-8).half()
    grid = scale.float().view(-1, *[1] * (value.dim() - 1))
    codes = (value / grid).round().clamp(-top, top) + 2 ** (bits - 1)
    entry = {"encoding": "integer", "bits": bits, "data": f"{name}.q", "scale": f"{name}.s"}
    return entry, {f"{name}.q": pack(codes, bits), f"{name}.s": scale}


def sparse(name: str, value: Tensor, share: float) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A bitmap and float16 values, with the smallest share left out."""
    kept = value.abs() > value.abs().flatten().kthvalue(max(1, round(share * value.numel()))).values
    entry = {"encoding": "sparse", "mask": f"{name}.m", "values": {"encoding": "dense", "data": f"{name}.v"}}
    return entry, {f"{name}.m": pack(kept, 1), f"{name}.v": value[kept].half()}


def write(
    folder: Path, network: nn.Module | None = None, *, bits: int = 0, share: float = 0.0
) -> dict[str, Any]:
    """Write a hand-in of a network (the vit of the course), matrices as integers or sparse; return its manifest."""
    entries, stored = {}, {}
    for name, value in (network or zoo.load("vit")).state_dict().items():
        if value.dim() == 2 and bits:
            entries[name], parts = integer(name, value, bits)
        elif value.dim() == 2 and share:
            entries[name], parts = sparse(name, value, share)
        else:
            entries[name], parts = {"encoding": "dense", "data": name}, {name: value.half()}
        stored |= parts
    manifest = {"format": 1, "model": "vit", "nickname": "tester", "config": dict(CONFIG), "tensors": entries}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: part.contiguous() for key, part in stored.items()}, folder / "submission.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return manifest
