"""The course's own tokenizers, read from files beside the package."""

from __future__ import annotations

from typing import Any

from labkit.compat.logs import quiet_imports
from labkit.data import ASSETS

_SPECIALS = {
    "languages": {
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    },
    "prose": {"pad_token": "<pad>", "eos_token": "<end>", "bos_token": "<end>"},
}


def course_tokenizer(task: str) -> Any:
    """Return the fast tokenizer of ``languages`` (1,024 entries) or ``prose`` (512 entries).

    Both are byte-level BPE, so any text can be encoded and decoded again.

    Raises:
        KeyError: the task has no tokenizer.
    """
    quiet_imports()
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(ASSETS / task / "tokenizer.json"),
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **_SPECIALS[task],
    )
