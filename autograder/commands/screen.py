"""What the commands share on screen: one console on stderr for progress, so that stdout stays clean for JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

console = Console(stderr=True, highlight=False)
PROGRESS_VARIABLE = "COURSE_PROGRESS"
"""Environment variable with the file in which a command says how far it is, for the course service."""


def progress() -> Progress:
    """A progress bar with counts and elapsed time; one line per step where the output is not a terminal."""
    return ToldProgress(MofNCompleteColumn(), TimeElapsedColumn())


class ToldProgress(Progress):
    """A bar on screen that also tells the course service, when that runs the command, how far it is."""

    def __init__(self, *columns: ProgressColumn) -> None:
        super().__init__(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *columns,
            console=console, transient=True,
        )  # fmt: skip
        self.file = os.environ.get(PROGRESS_VARIABLE, "")

    def update(self, task_id: TaskID, **fields: Any) -> None:
        """Move the bar."""
        super().update(task_id, **fields)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Move the bar on."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if self.file and task.total:
            Path(self.file).write_text(f"{task.completed:.0f} {task.total:.0f}", "ascii")
