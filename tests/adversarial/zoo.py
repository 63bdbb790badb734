"""Judge the zoo: every hand-in through intake, rebuild, judge and feedback page, and what it left behind.

python -m tests.adversarial.zoo [--daily] [NAME ...]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import html
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from rich.console import Console
from rich.table import Table

from autograder.build.regions import split_region
from autograder.grade.cgroups import hierarchy
from autograder.grade.intake import take_in
from autograder.grade.job import Grader
from autograder.grade.preprocessors import write_outcome
from autograder.grade.rebuild import rebuild
from autograder.grade.sandbox import Sandbox
from autograder.grade.verdict import NotebookVerdict
from autograder.report.feedback import FeedbackExporter
from tests.adversarial.handin import FULL, NOTEBOOK, HandIn, unchanged
from tests.adversarial.traces import traces, what_stayed
from tests.conftest import MiniLab

GROUPS = (
    "tampering", "lying", "exfiltration", "searches", "pages", "wire", "forging", "system_calls", "escapes", "bombs",
    "endless", "notebooks", "innocents", "habits",
)  # fmt: skip
INNOCENT = ("innocents", "habits")
LARGE = ("lying", "forging", "notebooks", *INNOCENT)
"""Groups of many quick hand-ins; two of three wait for the night."""
RESULTS = Path(__file__).parents[2] / "build" / "zoo.json"
SECRET = "a secret that only the zoo's judge has"
MARK = "LEAK" + ":"
OPEN_TAGS = {"script", "iframe", "object", "embed", "form", "svg", "link", "base", "audio", "video", "math"}
LONGEST = 600
"""Seconds after which one hand-in is given up, when the zoo runs by itself."""
Record = dict[str, Any]


def all_hand_ins() -> dict[str, list[HandIn]]:
    """The hand-ins of every group."""
    return {group: import_module(f"tests.adversarial.{group}").HAND_INS for group in GROUPS}


def daily() -> set[str]:
    """The names of those hand-ins that are judged every day."""
    return {
        hand_in.name
        for group, hand_ins in all_hand_ins().items()
        for number, hand_in in enumerate(hand_ins)
        if not hand_in.nightly and (group not in LARGE or number % 3 == 0)
    }


@dataclass
class Judged:
    """What a hand-in came back with."""

    points: dict[str, float] = field(default_factory=dict)
    text: str = ""
    """Everything that anybody can read of the verdict and the page."""
    page: str = ""
    fault: str = ""


class Zoo:
    """The small lab, and a judge that has been used once, so that what it keeps warm is there already."""

    def __init__(self, mini: MiniLab) -> None:
        self.mini = mini
        found = (split_region(cell.full, "HIDDEN TESTS")[1] for cell in mini.master.cells)
        lines = {line.strip() for regions in found for region in regions for line in region.splitlines()}
        self.hidden = sorted(line for line in lines if len(line) > 20)
        assert len(self.hidden) >= 5, "the small lab's hidden tests were not found"
        harmless = HandIn("nothing", "the reference itself", unchanged)
        for limits in {hand_in.limits for group in all_hand_ins().values() for hand_in in group}:
            first = self._judge(HandIn(**{**harmless.__dict__, "limits": limits}))
            assert first.points == FULL, f"the grader does not run: {first}"

    def judge(self, group: str, hand_in: HandIn) -> Record:
        """One hand-in's record."""
        before = traces()
        started = time.monotonic()
        judged = self._judge(hand_in)
        seconds = round(time.monotonic() - started, 2)
        texts = [judged.text, html.unescape(re.sub(r"<[^>]*>", "", judged.page)), html.unescape(judged.page)]
        forbidden = [*self.hidden, SECRET, *hand_in.forbidden]
        leaked = [text for text in forbidden if any(text in where for where in texts)]
        for where in texts[:2]:
            leaked += [where[found.start() :][:200] for found in re.finditer(MARK, where)][:3]
        return {
            "attack": hand_in.name,
            "group": group,
            "innocent": group in INNOCENT,
            "description": hand_in.description,
            "expected": hand_in.expected,
            "got": judged.points,
            "fault": judged.fault,
            "leaked": sorted(set(leaked + active_parts(judged.page))),
            "left_behind": what_stayed(before),
            "seconds": seconds,
        }

    def _judge(self, hand_in: HandIn) -> Judged:
        """Intake, rebuild, judge, page. A judge that fails earns no points at all here."""
        judged = Judged()
        try:
            with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
                notebook, files, notes = self._take_in(hand_in, Path(folder))
                rebuilt, more = rebuild(self.mini.master, notebook)
                grader = Grader(self.mini.bundle, SECRET, Sandbox(hand_in.limits))
                verdict = grader.run(self.mini.master, rebuilt, files)
                verdict.notes += more + notes
        except Exception as error:
            judged.fault = f"{type(error).__name__}: {error}"[-2000:]
            judged.text = judged.fault
            return judged
        judged.points = {cell.grade_id: cell.points for cell in verdict.cells}
        judged.text = "\n".join(_texts(asdict(verdict)))
        judged.page = feedback_page(rebuilt, verdict)
        return judged

    def _take_in(self, hand_in: HandIn, folder: Path) -> tuple[NotebookNode, list[Path], list[str]]:
        submitted, clean = folder / "submitted", folder / "clean"
        submitted.mkdir()
        nbformat.write(hand_in.change(self.mini.reference()), submitted / NOTEBOOK)
        for name, content in hand_in.files.items():
            (submitted / name).write_bytes(content)
        if hand_in.folder is not None:
            hand_in.folder(submitted)
        bundle = self.mini.bundle
        report = take_in(submitted, clean, [master.id for master in bundle.notebooks], bundle.extra_files)
        notes = [f"{name} was not taken: {why}" for name, why in {**report.dropped, **report.broken}.items()]
        files = [clean / name for name in bundle.extra_files if (clean / name).is_file()]
        taken = clean / NOTEBOOK
        notebook = nbformat.read(taken, as_version=4) if taken.is_file() else nbformat.v4.new_notebook()
        return notebook, files, notes


def feedback_page(rebuilt: NotebookNode, verdict: NotebookVerdict) -> str:
    """The page a student gets, as nbgrader's export makes it."""
    write_outcome(rebuilt, verdict)
    about = {"notebook": verdict.notebook, "assignment": "Lab-0.1-Mini", "student": "zoo"}
    page, _ = FeedbackExporter().from_notebook_node(rebuilt, {"nbgrader": about})
    return page


class _Active(HTMLParser):
    """Collects what a browser would run, fetch or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in OPEN_TAGS:
            self.found.append(f"active: <{tag}>")
        for name, value in attrs:
            target = name in ("src", "href", "srcset", "action", "formaction", "data", "xlink:href")
            own = (value or "").startswith(("#", "data:image/png;", "data:image/jpeg;"))
            refresh = name == "http-equiv" and (value or "").lower() == "refresh"
            if name.startswith("on") or (target and not own) or refresh or name == "style":
                self.found.append(f"active: <{tag} {name}={str(value)[:60]}>")


def active_parts(page: str) -> list[str]:
    """What of a page is not still: scripts, frames, handlers, addresses of anything outside it."""
    parser = _Active()
    parser.feed(page)
    return parser.found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def behaved(record: Record) -> bool:
    """Whether a hand-in got what it earned, told nothing and left nothing."""
    return record["got"] == record["expected"] and not record["leaked"] and not record["left_behind"]


def skipped(hand_in: HandIn) -> str:
    """Why a hand-in is not judged on this machine, or an empty text."""
    return "needs control groups" if hand_in.grouped and hierarchy() is None else ""


def write_records(records: list[Record], path: Path = RESULTS) -> None:
    """Put these records into the file; those of other hand-ins that still exist stay."""
    path.parent.mkdir(exist_ok=True)
    names = {hand_in.name for group in all_hand_ins().values() for hand_in in group}
    with path.open("a+", encoding="utf-8") as file:  # two workers may end at once
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        known = {record["attack"]: record for record in (json.loads(text) if text else [])}
        known |= {record["attack"]: record for record in records}
        file.seek(0)
        file.truncate()
        json.dump([known[name] for name in sorted(names & set(known))], file, indent=1)


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Temporary files of this process go where nobody else's do; the sandbox's accounts have to pass through."""
    before = tempfile.tempdir
    folder.chmod(0o711)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not judged after {LONGEST} s")


def main(arguments: list[str]) -> int:
    """Judge the named hand-ins, or all; return how many did not behave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="hand-ins or groups; all without one")
    parser.add_argument("--daily", action="store_true", help="leave out what is slow")
    options = parser.parse_args(arguments)
    records: list[Record] = []
    quick = daily()
    signal.signal(signal.SIGALRM, _too_long)
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as own,
        temporary_files_in(Path(own)),
        tempfile.TemporaryDirectory(prefix="mini-") as folder,
    ):
        zoo = Zoo(MiniLab(Path(folder)))
        for group, hand_ins in all_hand_ins().items():
            for hand_in in hand_ins:
                named = not options.names or {hand_in.name, group} & set(options.names)
                if not named or skipped(hand_in) or (options.daily and hand_in.name not in quick):
                    continue
                signal.alarm(LONGEST)
                records.append(zoo.judge(group, hand_in))
                signal.alarm(0)
                write_records(records[-1:])
                word = "ok" if behaved(records[-1]) else "NOT AS EXPECTED"
                print(f"{word:16}{records[-1]['seconds']:7.1f} s  {group}: {hand_in.name}", flush=True)
    Console(width=150).print(summary(records))
    return sum(not behaved(record) for record in records)


def summary(records: list[Record]) -> Table:
    """A table of what did not behave, and counts."""
    good = sum(map(behaved, records))
    table = Table(
        "hand-in", "expected", "got", "leaked", "left behind", title=f"{good} of {len(records)} behaved"
    )
    for record in records:
        if not behaved(record):
            shown = [
                record["expected"],
                record["got"] or record["fault"],
                record["leaked"],
                record["left_behind"],
            ]
            table.add_row(record["attack"], *(str(value)[:400] for value in shown))
    return table


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
