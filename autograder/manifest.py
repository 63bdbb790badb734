"""A backup's manifest: what is in it, and the checksums that show when a byte has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autograder.dump import Dump
from autograder.errors import BackupError

NAME = "manifest.json"
FORMAT = 1


@dataclass
class Manifest:
    """`settings` are those of instance.toml that were set, `entries` the number of entries of each archive,
    `left_out` what no archive holds and why, `files` size in bytes and SHA-256 of each file.
    """

    created: str
    course: str
    instance: str
    settings: dict[str, str]
    labs: list[str]
    submissions: dict[str, int]
    versions: dict[str, str]
    gradebook: Dump
    hub: Dump | None = None
    handin: Dump | None = None
    entries: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def write(manifest: Manifest, folder: Path) -> None:
    """Add the checksums of the folder's files and write the manifest beside them."""
    for file in sorted(folder.iterdir()):
        manifest.files[file.name] = {"size": file.stat().st_size, "sha256": sha256(file)}
    content = {"format": FORMAT, **asdict(manifest)}
    content["digest"] = _digest(content)
    target = folder / NAME
    target.touch(0o600)
    target.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n", "utf-8")


def read(folder: Path) -> Manifest:
    """Read a backup's manifest and compare every file with it. Raises BackupError for any difference."""
    file = folder / NAME
    if folder.name.endswith(".partial") or not file.is_file():
        raise BackupError(
            f"{folder} is no complete backup: there is no {NAME} in it, or its name ends in .partial"
        )
    try:
        content = json.loads(file.read_text("utf-8"))
        digest = content.pop("digest")
        if content.get("format") != FORMAT:
            raise BackupError(f"{file} has the format {content.get('format')}, this version reads {FORMAT}")
        if digest != _digest(content):
            raise ValueError("its own checksum differs")
        content.pop("format")
        manifest = Manifest(**content)
        manifest.gradebook = _dump(content["gradebook"])
        manifest.hub = _dump(content["hub"]) if content["hub"] else None
        manifest.handin = _dump(content["handin"]) if content.get("handin") else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{file} was changed or is damaged ({error}). Nothing was restored") from error
    for name, expected in manifest.files.items():
        _compare(folder / name, expected)
    return manifest


def _dump(content: dict[str, Any]) -> Dump:
    return Dump(**{**content, "owner": tuple(content["owner"])})


def _compare(file: Path, expected: dict[str, Any]) -> None:
    if not file.is_file():
        raise BackupError(f"{file} is missing. Nothing was restored; take another backup")
    size = file.stat().st_size
    if size != expected["size"]:
        raise BackupError(
            f"{file} is damaged: {size} bytes instead of {expected['size']}. Nothing was restored; take another backup"
        )
    if sha256(file) != expected["sha256"]:
        raise BackupError(
            f"{file} is damaged: its SHA-256 is not the one in {NAME}. Nothing was restored; take another backup"
        )


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()
