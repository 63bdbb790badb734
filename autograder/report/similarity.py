"""Which hand-ins share code beyond what the course gave: copydetect's winnowing (Schleimer et al. 2003, the method
behind MOSS) over what students wrote, with the released notebook's text taken out.

It points at pairs to look at. Short functions with one sensible solution look alike without anybody copying.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
from copydetect import CodeFingerprint, compare_files

from autograder.course import Instance
from autograder.errors import ConfigurationError
from autograder.files import write_whole
from autograder.grade.handed_in import NotANotebook, read_handed_in

NOISE_TOKENS = 20
"""Matches shorter than this are chance."""
GUARANTEED_TOKENS = 30
"""Matches at least this long are found."""
FEWEST_TOKENS = 60
"""A student's own code below this is too short to say anything."""
MOST_CHARACTERS = 200_000
"""More code of their own nobody writes in a lab; taking it in would hold the queue for minutes."""


@dataclass(frozen=True)
class Pair:
    """Two hand-ins of one notebook. `share` (0 to 1) is of the shorter one's code, `tokens` the length in common."""

    notebook: str
    first: str
    second: str
    share: float
    tokens: int


@dataclass(frozen=True)
class Comparison:
    """One comparison of a lab: when it was made (UTC, ISO 8601), the share from which a pair is listed, the pairs,
    and whose notebooks have too much code to be compared."""

    when: str
    at_least: float
    pairs: list[Pair]
    too_long: list[str]


def similar_hand_ins(
    instance: Instance,
    lab_id: str,
    at_least: float,
    watch: Callable[[int, int], None] = lambda done, of: None,
) -> Comparison:
    """Pairs of students who share at least this part of the shorter one's code, the most alike first.

    `watch` is told how many notebooks are done, of how many. Raises ConfigurationError when the lab
    was not built, or nobody handed it in.
    """
    releases = sorted((instance.release / lab_id).glob("*.ipynb"))
    if not releases:
        raise ConfigurationError(f"{lab_id} is not built in {instance.root}: course build {lab_id}")
    if not any(instance.submitted.glob(f"*/{lab_id}/*.ipynb")):
        raise ConfigurationError(
            f"nobody has handed in {lab_id} yet, or it was not collected: course collect {lab_id}"
        )
    pairs: list[Pair] = []
    too_long: list[str] = []
    for done, release in enumerate(releases):
        watch(done, len(releases))
        pairs += _pairs_of(release, instance.submitted, lab_id, at_least, too_long)
    watch(len(releases), len(releases))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    ordered = sorted(pairs, key=lambda pair: (-pair.share, pair.notebook, pair.first, pair.second))
    return Comparison(now, at_least, ordered, too_long)


def keep(instance: Instance, lab_id: str, comparison: Comparison) -> None:
    """Keep the comparison of a lab until the next."""
    write_whole(instance.similarity / f"{lab_id}.json", json.dumps(asdict(comparison), indent=1))


def last_comparison(instance: Instance, lab_id: str) -> Comparison | None:
    """What `keep` kept; None when the lab was never compared, or the file is damaged: it is made again by a click."""
    try:
        kept = json.loads((instance.similarity / f"{lab_id}.json").read_text("utf-8"))
        return Comparison(**{**kept, "pairs": [Pair(**pair) for pair in kept["pairs"]]})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def own_code(instance: Instance, lab_id: str, notebook: str, student: str) -> str:
    """The code cells of a hand-in that differ from the released ones."""
    release = instance.release / lab_id / f"{notebook}.ipynb"
    return _own(instance.submitted / student / lab_id / release.name, _code_cells(release))


def _own(handed_in: Path, released: list[str]) -> str:
    given = {text.strip() for text in released}
    return "\n\n".join(text for text in _code_cells(handed_in) if text.strip() not in given)


def _pairs_of(
    release: Path, submitted: Path, lab_id: str, at_least: float, too_long: list[str]
) -> Iterator[Pair]:
    released = _code_cells(release)
    hashes = _fingerprint("\n\n".join(released), np.array([]), window=1).hashes
    boilerplate = np.unique(np.array(list(hashes)))
    prints: dict[str, CodeFingerprint] = {}
    for file in sorted(submitted.glob(f"*/{lab_id}/{release.name}")):
        try:
            code = _own(file, released)
        except NotANotebook:
            continue
        if len(code) > MOST_CHARACTERS:
            too_long.append(f"{file.parent.parent.name}, {release.stem}")
            continue
        found = _fingerprint(code, boilerplate)
        if found.token_coverage >= FEWEST_TOKENS:
            prints[file.parent.parent.name] = found
    for first, second in combinations(prints, 2):
        tokens, shares, _ = compare_files(prints[first], prints[second])
        if max(shares) >= at_least:
            yield Pair(release.stem, first, second, round(float(max(shares)), 3), int(tokens))


def _fingerprint(code: str, boilerplate: np.ndarray, window: int | None = None) -> CodeFingerprint:
    size = GUARANTEED_TOKENS - NOISE_TOKENS + 1 if window is None else window
    return CodeFingerprint(
        "cell.py", NOISE_TOKENS, size, boilerplate, language="python", fp=io.StringIO(code)
    )


def _code_cells(notebook: Path) -> list[str]:
    cells = read_handed_in(notebook.read_bytes()).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and cell.source.strip()]
