"""The course's own checkout: a copy of this one that belongs to the account of the course service.

The service must read solutions and hidden tests, and instructors edit them there; no student may.
So they live in the home of an account of its own, and the person's checkout is left as it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from hub_config.errors import HubError

CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache"}
MADE_HERE = {".git", ".venv", ".venv-staff", "build"}
"""Folders at the top of a checkout that are not part of the course."""
STAMP = ".copied-from"


def _left_out(source: Path, folder: str, names: list[str]) -> set[str]:
    return set(names) & (CACHES | MADE_HERE if Path(folder) == source else CACHES)


def digest(checkout: Path) -> str:
    """A hash over names and contents of the files that are copied."""
    total = hashlib.sha256()
    for folder, folders, files in os.walk(checkout):
        folders[:] = sorted(set(folders) - _left_out(checkout, folder, folders))
        for name in sorted(files):
            path = Path(folder) / name
            if not path.is_symlink():
                total.update(bytes(path.relative_to(checkout)) + b"\0" + path.read_bytes())
    return total.hexdigest()


def copy_checkout(source: Path, target: Path) -> bool:
    """Copy `source` to `target` with its staff environment, unless a copy is there. Whether the copy is current.

    A copy is never overwritten: instructors work in it.
    """
    current = digest(source)
    if (target / STAMP).is_file():
        return (target / STAMP).read_text("utf-8") == current
    if target.exists():
        shutil.rmtree(target)  # a copy that was interrupted: the stamp comes last
    shutil.copytree(source, target, symlinks=True, ignore=lambda *found: _left_out(source, *found))
    (target / ".venv").symlink_to((source / ".venv").resolve())
    _copy_staff_environment(source, target)
    (target / "build").mkdir()
    (target / STAMP).write_text(current, "utf-8")
    return True


def _copy_staff_environment(source: Path, target: Path) -> None:
    """The environment with the packages of the original, and the copied checkout on its path."""
    old, new = source / ".venv-staff", target / ".venv-staff"
    shutil.copytree(old, new, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    students = (source / ".venv").resolve() / "lib" / "python3.11" / "site-packages"
    (new / "lib" / "python3.11" / "site-packages" / "course.pth").write_text(f"{students}\n{target}\n")
    for script in (new / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_bytes()
            if text.startswith(b"#!" + bytes(old)):
                script.write_bytes(text.replace(bytes(old), bytes(new)))


def give_to(account: str, folder: Path) -> None:
    """Make a folder and all below it an account's own, closed to everybody else. Links are not followed."""
    done = subprocess.run(
        ["chown", "-hR", f"{account}:{account}", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise HubError(f"chown failed: {done.stderr.strip()}")
    folder.chmod(0o700)
