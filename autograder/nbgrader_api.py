"""Call nbgrader's converters with the instance's configuration and without their noise."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from autograder.configuration import nbgrader_configuration
from autograder.course import Instance


def call_nbgrader(
    instance: Instance, method: str, *arguments: str, config: Config | None = None, **options: bool
) -> str:
    """Call one method of nbgrader's API; return its error and log when it failed, else an empty string.

    `config` adds to the instance's configuration.
    """
    merged = nbgrader_configuration(instance)
    merged.merge(config or Config())
    with quiet(), _working_directory(instance):
        result = getattr(NbGraderAPI(config=merged), method)(*arguments, **options)
    if result["success"]:
        return ""
    return f"{result.get('error') or ''}\n{result.get('log') or ''}".strip() or "no message"


class _Quiet:
    """Warnings and a logger's level belong to the process: of several threads the first sets, the last resets them."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.filters, self.level = warnings.catch_warnings(), logging.NOTSET

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside > 1:
                return
            self.filters = warnings.catch_warnings()
            self.filters.__enter__()
            warnings.simplefilter("ignore", SAWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            logger = logging.getLogger("traitlets")
            self.level = logger.level
            logger.setLevel(logging.CRITICAL + 1)  # failures come back in the result

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                logging.getLogger("traitlets").setLevel(self.level)
                self.filters.__exit__(None, None, None)


_quiet = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings that nbgrader 0.9.6 causes in its own use of SQLAlchemy and traitlets."""
    _quiet.enter()
    try:
        yield
    finally:
        _quiet.leave()


@contextmanager
def _working_directory(instance: Instance) -> Iterator[None]:
    """nbgrader resolves its folders against the working directory."""
    before = Path.cwd()
    os.chdir(instance.root)
    try:
        yield
    finally:
        os.chdir(before)
