"""Verdicts by content: the same sources, lab and environment are never judged twice."""

from __future__ import annotations

import re
from pathlib import Path

from autograder.files import write_whole
from autograder.grade.verdict import NotebookVerdict

KEY = re.compile(r"[0-9a-f]{64}")


class VerdictCache:
    """A folder of verdicts, each in a file named after its key. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> NotebookVerdict | None:
        """The verdict stored under this key, or None. A file that cannot be read counts as none."""
        file = self._file(key)
        try:
            return NotebookVerdict.from_json(file.read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, verdict: NotebookVerdict) -> None:
        """Store a verdict: whole, or not at all when the process is killed meanwhile."""
        write_whole(self._file(key), verdict.to_json())

    def forget(self, key: str) -> None:
        """Have the next request for this key judged anew."""
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r:.80}")
        return self.folder / key[:2] / f"{key}.json"
