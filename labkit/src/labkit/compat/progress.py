"""Keep the progress bars of transformers off stderr while a checkpoint is read."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Switch the progress bars of transformers off inside the ``with`` block.

    transformers has a switch of its own; its GGUF reader does not obey it (it imports ``tqdm`` itself), so
    there the name is replaced for the length of the block.
    """
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    was_enabled, tqdm = logging.is_progress_bar_enabled(), gguf.tqdm
    logging.disable_progress_bar()
    gguf.tqdm = functools.partial(tqdm, disable=True)
    try:
        yield
    finally:
        gguf.tqdm = tqdm
        if was_enabled:
            logging.enable_progress_bar()
