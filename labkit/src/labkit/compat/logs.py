"""Silence log lines that libraries write to stderr while they are imported or called.

A grade cell that writes to stderr scores 0 under plain nbgrader, so a notebook must not write there. Each
entry names one logger and one message; anything else the logger says still comes through.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

IMPORT_MESSAGES = {
    # torchao 0.18 looks for GPU libraries beside itself and reports each one it can not load.
    "torchao": "Failed to load ",
    # torchao 0.18 registers enum classes, which torch 2.13 already knows.
    "torch.utils._pytree": "is an Enum subclass and is now natively supported",
}


class DropMessage(logging.Filter):
    """Drop the records whose text contains ``part``."""

    def __init__(self, part: str) -> None:
        """Remember the part of the message to look for."""
        super().__init__()
        self.part = part

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be shown."""
        return self.part not in record.getMessage()


def quiet_imports() -> None:
    """Drop the two messages that importing a model class of transformers causes; call it before the import.

    Calling it again changes nothing.
    """
    for name, part in IMPORT_MESSAGES.items():
        logger = logging.getLogger(name)
        if not any(isinstance(item, DropMessage) and item.part == part for item in logger.filters):
            logger.addFilter(DropMessage(part))


@contextlib.contextmanager
def without_log(logger_name: str, part: str) -> Iterator[None]:
    """Drop the records of one logger whose text contains ``part``, inside the ``with`` block."""
    logger, rule = logging.getLogger(logger_name), DropMessage(part)
    logger.addFilter(rule)
    try:
        yield
    finally:
        logger.removeFilter(rule)
