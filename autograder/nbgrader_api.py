"""Call nbgrader's converters with the instance's configuration and without their noise."""

from __future__ import annotations

import logging
import os
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


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings that nbgrader 0.9.6 causes in its own use of SQLAlchemy and traitlets."""
    level = logging.getLogger("traitlets").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        logging.getLogger("traitlets").setLevel(logging.CRITICAL + 1)  # failures come back in the result
        try:
            yield
        finally:
            logging.getLogger("traitlets").setLevel(level)


@contextmanager
def _working_directory(instance: Instance) -> Iterator[None]:
    """nbgrader resolves its folders against the working directory."""
    before = Path.cwd()
    os.chdir(instance.root)
    try:
        yield
    finally:
        os.chdir(before)
