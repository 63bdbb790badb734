"""Search what students receive for text of solutions, hidden tests and marking schemes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.build.regions import split_region

LENGTH = 14
"""Words in a row that count as copied text. Shorter runs are idioms of the language."""

Gram = tuple[str, ...]
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Leak:
    """Secret text found where students can read it."""

    secret: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place} shows text of {self.secret}: {self.text!r}"


def words_of(text: str) -> list[str]:
    """Names, numbers and keywords in order; punctuation says little about where a text came from."""
    return WORD.findall(text)


def grams(text: str) -> set[Gram]:
    """Every run of LENGTH words; a shorter text counts as one run when it has at least half of them."""
    words = words_of(text)
    if len(words) < LENGTH:
        return {tuple(words)} if len(words) >= LENGTH // 2 else set()
    return {tuple(words[i : i + LENGTH]) for i in range(len(words) - LENGTH + 1)}


def secrets(cells: dict[str, tuple[str, str]]) -> dict[str, set[Gram]]:
    """The secret runs of every cell, by place. `cells` maps a place to its full and its released source.

    A hidden test may repeat what its own cell shows: that was given away on purpose.
    """
    found = {}
    for place, (full, released) in cells.items():
        for region in ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME"):
            _, inside = split_region(full, region)
            for number, text in enumerate(inside):
                given = grams(released) if region == "HIDDEN TESTS" else set()
                found[f"{place} ({region.lower()} {number + 1})"] = grams(text) - given
    return found


def public_texts(folders: list[Path]) -> Iterator[tuple[str, str]]:
    """Every text file students can read: notebooks (sources, outputs, metadata, attachments) and packages."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in (".ipynb", ".md", ".py", ".json", ".toml", ".txt", ".csv"):
                text = path.read_text("utf-8", errors="replace")
                yield str(path), "\n".join(_notebook_texts(text)) if path.suffix == ".ipynb" else text


def _notebook_texts(text: str) -> Iterator[str]:
    """Sources as a student reads them; outputs, metadata and attachments as JSON."""
    notebook = json.loads(text)
    yield json.dumps(notebook.get("metadata", {}))
    for cell in notebook["cells"]:
        source = cell.pop("source")
        yield source if isinstance(source, str) else "".join(source)
        yield json.dumps(cell)


def scan(secret_runs: dict[str, set[Gram]], texts: Iterator[tuple[str, str]]) -> list[Leak]:
    """Find runs of secret words in public texts; at most one leak per secret and place."""
    index: dict[Gram, str] = {}
    for secret, runs in secret_runs.items():
        for run in runs:
            index.setdefault(run, secret)
    lengths = {len(gram) for gram in index}
    leaks: dict[tuple[str, str], Leak] = {}
    for place, text in texts:
        words = words_of(text)
        for length in lengths:
            for start in range(len(words) - length + 1):
                run = tuple(words[start : start + length])
                if run in index:
                    secret = index[run]
                    leaks.setdefault((secret, place), Leak(secret, place, " ".join(run)))
    return list(leaks.values())
