"""nbgrader's exchange, the folder through which labs go out and hand-ins come in."""

from __future__ import annotations

import shutil
from pathlib import Path

from autograder.course import COURSE_ID


def prepare_exchange(exchange: Path, account: str) -> None:
    """The exchange with the modes that nbgrader wants, and sticky, so that nobody can move another's folder."""
    course = exchange / COURSE_ID
    modes = {
        exchange: 0o1777,
        course: 0o755,
        course / "outbound": 0o755,
        course / "inbound": 0o3733,
        course / "feedback": 0o711,
    }
    for folder, mode in modes.items():
        folder.mkdir(exist_ok=True)
        if account and folder != exchange:
            shutil.chown(folder, account, account)
        folder.chmod(mode)
