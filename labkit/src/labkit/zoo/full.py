"""The full profile: the published checkpoints.

A checkpoint is looked for in this order: the ``checkpoint`` argument; ``<folder>/<name>`` where the
environment variable ``LABKIT_CHECKPOINTS`` names the folder; the hub's cache on this machine. It is fetched
from the hub only if ``LABKIT_DOWNLOAD=1``. A published checkpoint needs a GPU; a folder of your own does not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.compat.logs import quiet_imports
from labkit.compat.progress import without_progress_bars
from labkit.zoo.configs import CLASS_NAMES, CLASSES
from labkit.zoo.errors import Unavailable
from labkit.zoo.outliers import add_outlier_channels

if TYPE_CHECKING:
    from torch import nn

FOLDER_VARIABLE, DOWNLOAD_VARIABLE = "LABKIT_CHECKPOINTS", "LABKIT_DOWNLOAD"
HUB_IDS = {
    "bert": "bert-large-uncased",
    "gpt2": "gpt2-xl",
    "llama": "meta-llama/Llama-2-13b-hf",
    "llama-outliers": "meta-llama/Llama-2-13b-hf",
    "mistral": "mistralai/Mistral-7B-v0.1",
    "vit": "google/vit-base-patch16-224",
}


def load_full(name: str, attention: str | None, checkpoint: str | Path | None) -> nn.Module:
    """Return the full-size model in eval mode.

    A published checkpoint comes in the type it was saved in and on the GPU; one from a folder of your own in
    float32 and on the CPU.

    Raises:
        Unavailable: there is no such checkpoint, it can not be read, or there is no GPU for it.
    """
    source = find_checkpoint(name, checkpoint)
    local = isinstance(source, Path)
    if not local:
        _need_gpu(name)
    quiet_imports()
    import torch
    import transformers

    settings: dict[str, Any] = {
        "dtype": torch.float32 if local else "auto",
        "attn_implementation": attention or "sdpa",
    }
    if name == "bert":
        settings["num_labels"] = _stored_labels(source) or CLASSES
    model_class = getattr(transformers, CLASS_NAMES[name][1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a published BERT has no classifier: its new head is the same every time
        model: nn.Module = _from_pretrained(model_class, name, source, **settings)
    if name == "llama-outliers":
        add_outlier_channels(model)
    return (model if local else model.cuda()).eval()


def full_tokenizer(name: str, checkpoint: str | Path | None) -> Any:
    """Return the tokenizer saved with the checkpoint.

    Raises:
        Unavailable: there is no such checkpoint, or it holds no tokenizer.
    """
    source = find_checkpoint(name, checkpoint)
    quiet_imports()
    from transformers import AutoTokenizer

    return _from_pretrained(AutoTokenizer, name, source)


def find_checkpoint(name: str, checkpoint: str | Path | None) -> Path | str:
    """Return the folder to load from, or the hub id if nothing on this machine was named.

    Raises:
        Unavailable: the model has no published checkpoint, or the named folder is not a checkpoint.
    """
    if checkpoint is None and os.environ.get(FOLDER_VARIABLE):
        checkpoint = Path(os.environ[FOLDER_VARIABLE]) / name
    if checkpoint is None:
        if name not in HUB_IDS:
            raise Unavailable(
                f"{name} has no published checkpoint", "it is the course's own model", "Use profile 'tiny'."
            )
        return HUB_IDS[name]
    folder = Path(checkpoint)
    if (folder / "config.json").is_file():
        return folder
    if isinstance(checkpoint, str) and not folder.exists() and checkpoint.count("/") <= 1:
        return checkpoint
    raise Unavailable(
        f"no checkpoint of {name}",
        f"looked for config.json in {folder}",
        "Save one there with save_pretrained, or name another folder.",
    )


def _from_pretrained(loader: Any, name: str, source: Path | str, **settings: Any) -> Any:
    offline = isinstance(source, Path) or os.environ.get(DOWNLOAD_VARIABLE) != "1"
    try:
        with without_progress_bars():
            return loader.from_pretrained(source, local_files_only=offline, **settings)
    except (OSError, ValueError) as problem:
        first_line = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise Unavailable(
            f"the full checkpoint of {name} can not be loaded",
            f"from {source}: {first_line.rstrip('.')}",
            f"Set {DOWNLOAD_VARIABLE}=1 to fetch it, or {FOLDER_VARIABLE} to a folder that holds {name}.",
        ) from None


def _need_gpu(name: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise Unavailable(
            f"the full checkpoint of {name} needs a GPU",
            "torch sees none on this machine",
            f"Use profile 'tiny', or set {FOLDER_VARIABLE} to a folder with a smaller checkpoint.",
        )


def _stored_labels(source: Path | str) -> int | None:
    """Return the number of labels a local checkpoint was saved with, if it was saved with a classifier."""
    if not isinstance(source, Path):
        return None
    import json

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    labels = config.get("id2label")
    return len(labels) if labels else None
