"""All capstone hand-ins as one page: a plot of accuracy against size, a table, and what was refused and why.

The page shows nicknames, never accounts. A measurement is kept under the hash of the two files, so that a new page
costs only the new hand-ins; the best entries are measured again each time, and only those that come out the same
are marked as verified.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import jinja2
from labkit.capstone.artifact import LARGEST_TENSORS, MANIFEST, TENSORS, ArtifactError

from autograder.capstone.measure import Examination, Result
from labkit import plots


@dataclass
class Entry:
    """A hand-in on the page: its account, and a result or the reason for which it was refused."""

    account: str
    result: Result | None
    refused: str = ""
    verified: bool = False


def content_hash(folder: Path) -> str:
    """SHA-256 of the two files, 0 for one that is missing or no plain file."""
    digest = hashlib.sha256()
    for name in (MANIFEST, TENSORS):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            digest.update(b"\0" * 32)
            continue
        with path.open("rb") as file:  # what is larger is refused, whatever follows
            digest.update(hashlib.sha256(file.read(LARGEST_TENSORS + 1)).digest())
    return digest.hexdigest()


def collect(
    folders: Iterable[Path],
    examination: Examination,
    seed: int,
    cache: Path,
    *,
    top: int,
    step: Callable[[], None],
) -> list[Entry]:
    """Measure every hand-in that is not in the cache, then the best `top` once more; best score first.

    Args:
        folders: one a hand-in, named by its account.
        examination: of the term.
        seed: of the examination; a cache of another seed is not used.
        cache: a JSON file; it is read if it is there, and written.
        top: entries that are measured again.
        step: called after each hand-in.
    """
    known: dict[str, dict[str, object]] = {}
    if cache.is_file():
        stored = json.loads(cache.read_text("utf-8"))
        known = stored["results"] if stored["seed"] == seed else {}
    ranked: list[tuple[Entry, Path, str]] = []
    for folder in sorted(folders):
        key = content_hash(folder)
        if key not in known:
            known[key] = _measured(folder, examination)
        ranked.append((_entry(folder.name, known[key]), folder, key))
        step()
    ranked.sort(key=lambda row: -row[0].result.score if row[0].result else 1.0)
    for entry, folder, key in ranked[:top]:
        if entry.result is not None:
            again = _measured(folder, examination)
            entry.verified = again == known[key]
            known[key] = again
            entry.result = _entry(entry.account, again).result
    cache.write_text(json.dumps({"seed": seed, "results": known}, indent=1), "utf-8")
    return [entry for entry, _, _ in ranked]


def _measured(folder: Path, examination: Examination) -> dict[str, object]:
    try:
        result = examination.measure(folder)
    except ArtifactError as error:
        return {"refused": str(error)}
    return {field.name: getattr(result, field.name) for field in fields(Result)}


def _entry(account: str, stored: dict[str, object]) -> Entry:
    if "refused" in stored:
        return Entry(account, None, refused=str(stored["refused"]))
    return Entry(account, Result(**stored))  # type: ignore[arg-type]


def front(results: list[Result]) -> list[Result]:
    """The results that no other one beats: none is at most as large and at least as accurate, smallest first."""
    best: list[Result] = []
    for result in sorted(results, key=lambda one: (one.size, -one.accuracy)):
        if not best or result.accuracy > best[-1].accuracy:
            best.append(result)
    return best


def page(entries: list[Entry]) -> str:
    """The HTML page."""
    results = [entry.result for entry in entries if entry.result]
    best = front(results)
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("leaderboard.html.j2")
    return template.render(
        entries=[entry for entry in entries if entry.result],
        refused=[entry for entry in entries if not entry.result],
        plot=_plot(results, best) if results else "",
        on_front=best,
    )


def _plot(results: list[Result], best: list[Result]) -> str:
    """The plot as SVG text: each hand-in, the front as steps, and the uncompressed network."""
    figure, axes = plots.figure(
        alt="Share of the accuracy kept against kilobytes, one point a hand-in, with the front of the best."
    )
    axes.step(
        [one.size / 1000 for one in best],
        [one.kept for one in best],
        where="post",
        color="black",
        linewidth=0.8,
    )
    axes.plot([one.size / 1000 for one in results], [one.kept for one in results], "o", label="hand-ins")
    axes.plot([results[0].base_size / 1000], [1.0], "s", color="black", label="uncompressed")
    axes.set_xscale("log")
    axes.set_xlabel("size of the file (kB, log scale)")
    axes.set_ylabel("share of the accuracy kept")
    axes.legend()
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
