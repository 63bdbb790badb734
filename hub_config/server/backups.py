"""A backup by `course backup`, then the oldest go."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from hub_config.errors import HubError
from hub_config.server.configuration import ROOT
from hub_config.server.settings import Settings

STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")
"""Names of complete backups; they sort by age."""


def take_backup(settings: Settings, root: Path = ROOT) -> None:
    """Take one of instance, gradebook, published labs, hand-ins and Hub. Raises HubError with what the command said."""
    command = [
        f"{root}/.venv-staff/bin/python", "-m", "autograder", "backup", settings.backup.folder,
        "--instance", str(settings.course.instance), "--hub-database", settings.databases.hub,
    ]  # fmt: skip
    handin = Path(settings.handin.folder)
    if (handin / "handin.db").is_file():  # not before the service has run for the first time
        command += ["--handin", str(handin)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise HubError(f"no backup was taken: {(done.stderr.strip() or done.stdout.strip())[-1500:]}")


def remove_old(folder: Path, keep: int) -> list[Path]:
    """Remove complete backups but the newest `keep`; anything else in the folder is left alone."""
    complete = sorted(
        path
        for path in folder.iterdir()
        if STAMP.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )
    old = complete[: max(0, len(complete) - keep)]
    for path in old:
        shutil.rmtree(path)
    return old
