"""Is every asset file named with source, licence and hash, and is it the file that was named?"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

MANIFEST = "MANIFEST.json"
FOLDERS = ("labkit/src/labkit/assets", "heldout")
NOT_ASSETS = {MANIFEST, "LICENCES.md"}
CODE = {".py", ".pyc"}
FIELDS = ("source", "licence", "sha256")
LARGEST_FILE = 5_000_000
LARGEST_TOTAL = 40_000_000


def check(root: Path) -> list[str]:
    """Return one line for each problem with the asset files below the checkout ``root``.

    Every file must be in its folder's ``MANIFEST.json`` with source, licence and SHA-256, must have that hash
    and at most 5 MB; nothing may be listed that is not there; all files together have at most 40 MB; no file
    is a pickle.
    """
    problems: list[str] = []
    total = 0
    for folder in FOLDERS:
        found, size = _check_folder(root / folder, folder)
        problems += found
        total += size
    if total > LARGEST_TOTAL:
        problems.append(f"asset files have {total:,} bytes together, more than {LARGEST_TOTAL:,}")
    return problems


def _check_folder(folder: Path, shown: str) -> tuple[list[str], int]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        return [f"{shown}/{MANIFEST} can not be read: {problem}"], 0
    files = {path.relative_to(folder).as_posix(): path for path in _assets(folder)}
    problems = [f"{shown}/{name} is listed but missing" for name in sorted(set(manifest) - set(files))]
    problems += [f"{shown}/{name} is not in {MANIFEST}" for name in sorted(set(files) - set(manifest))]
    total = 0
    for name in sorted(set(files) & set(manifest)):
        content = files[name].read_bytes()
        total += len(content)
        problems += [f"{shown}/{name} {problem}" for problem in _file_problems(content, manifest[name])]
    return problems, total


def _file_problems(content: bytes, entry: dict[str, object]) -> list[str]:
    problems = [f"names no {field}" for field in FIELDS if not entry.get(field)]
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        problems.append("has another hash than the manifest says")
    if len(content) > LARGEST_FILE:
        problems.append(f"has {len(content):,} bytes, more than {LARGEST_FILE:,}")
    if content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        problems.append("is a pickle")
    return problems


def _assets(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_ASSETS and path.suffix not in CODE
    ]


def main() -> int:
    """Print the problems of this checkout's assets; 1 when there are any."""
    problems = check(Path(__file__).resolve().parents[2])
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
