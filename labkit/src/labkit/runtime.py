"""The first line of every notebook: one thread, fixed seeds, a quiet console, no network."""

from __future__ import annotations

import os
import random


def start(seed: int = 0) -> None:
    """Make a run repeatable bit for bit on one machine.

    One thread, because the order in which threads add floats changes the last bits. Hub look-ups
    are switched off: every model and data set of the tiny profile comes with labkit.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import numpy
    import torch

    from labkit.compat import quiet_imports

    quiet_imports()
    torch.set_num_threads(1)
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
