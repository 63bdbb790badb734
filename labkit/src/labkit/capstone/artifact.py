"""The two files of a capstone hand-in: ``manifest.json`` and ``submission.safetensors``.

Both are data and are read as data. Everything that is not in the schema is refused, so that there is no place to
hide weights in: no unknown key, no tensor that the manifest does not use, no text in the tensor file's header.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

MANIFEST, TENSORS = "manifest.json", "submission.safetensors"
SCHEMA = Path(__file__).with_name("manifest.schema.json")
LARGEST_MANIFEST = 128 * 1024
"""Bytes. A manifest of the largest network has about 20 kB."""
LARGEST_TENSORS = 1_300_000
"""Bytes. The uncompressed network has 1.2 million."""


class ArtifactError(ValueError):
    """A capstone hand-in is refused: malformed, too large, or not what its manifest says. The text says what."""


@dataclass(frozen=True)
class Artifact:
    """A hand-in as read: the checked manifest, the stored tensors by key, and the bytes of the tensor file."""

    manifest: dict[str, Any]
    stored: dict[str, Tensor]
    size: int


def read_artifact(folder: Path) -> Artifact:
    """Read and check the two files of a hand-in.

    Raises:
        ArtifactError: a file is missing, no plain file, too large, or not what the format says.
    """
    manifest = _manifest(_content(folder / MANIFEST, LARGEST_MANIFEST))
    content = _content(folder / TENSORS, LARGEST_TENSORS)
    return Artifact(manifest, _tensors(content), len(content))


def _content(path: Path, largest: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path.name} is missing or not a plain file; hand in both files")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ArtifactError(f"{path.name} has more than {largest:,} bytes")
    return content


def _manifest(content: bytes) -> dict[str, Any]:
    def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ArtifactError(f"{MANIFEST}: a key occurs twice in one object")
        return made

    try:
        manifest = json.loads(content.decode("utf-8"), object_pairs_hook=only_once)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST} is not JSON: {error}") from error
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    wrong = jsonschema.exceptions.best_match(validator.iter_errors(manifest))
    if wrong is not None:
        raise ArtifactError(f"{MANIFEST}, {wrong.json_path}: {wrong.message[:200]}")
    checked: dict[str, Any] = manifest
    return checked


def _tensors(content: bytes) -> dict[str, Tensor]:
    try:
        stored: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise ArtifactError(f"{TENSORS} can not be read: {error}") from error
    length = int.from_bytes(content[:8], "little")
    if "__metadata__" in json.loads(content[8 : 8 + length]):
        raise ArtifactError(f"{TENSORS} has metadata; store tensors only")
    return stored
