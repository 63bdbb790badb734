"""`make clean`: remove what set-up and builds created; needs Python and nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPT = Path(os.environ.get("COURSE_OPT", "/opt/model-compression-course"))
CREATED = [
    ".venv-staff",
    "build",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
]


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        return
    print(f"removed {path}")


def main() -> None:
    """Remove environments, builds, caches and, as root, the folder under /opt."""
    name = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    remove(OPT / name)
    remove(OPT / f"{name}-hub")
    if OPT.is_dir() and not any(OPT.iterdir()):
        remove(OPT)
    for name in [".venv", *CREATED]:
        remove(ROOT / name)
    for pattern in ("__pycache__", "*.egg-info"):
        for path in ROOT.rglob(pattern):
            remove(path)
    for name in ("labkit", "handin"):
        remove(ROOT / name / "build")
    subprocess.run(["git", "-C", str(ROOT), "status", "--short", "--ignored"], check=False)


if __name__ == "__main__":
    main()
