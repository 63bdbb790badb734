"""A journal that shows when it was tampered with: lines of JSON, each chained to the one before by its hash.

A line that was changed, removed or slipped in breaks the chain from there on. Whoever keeps the hash of a line can
prove later that nothing before it was changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from autograder.errors import ReceiptError
from autograder.files import to_disk

FIRST = "0" * 64
"""What the first line names as the one before it."""
Line = dict[str, Any]


class Chain:
    """One file of chained lines, each a JSON object."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, content: Line) -> Line:
        """Chain a line to the last and write it down for good; return it with its number, time and hash.

        A last line that was cut short, by a process killed while it wrote, is removed first.
        """
        created = not self.file.exists()
        self.file.touch(mode=0o600)
        # more than one process appends
        with self.file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            line = self._append(content)
        if created:
            to_disk(self.file.parent)
        return line

    def _append(self, content: Line) -> Line:
        last = self._last_whole_line()
        number, previous = (last["number"] + 1, last["hash"]) if last else (1, FIRST)
        line = {"number": number, "when": datetime.now(UTC).isoformat(timespec="seconds"), **content}
        line["previous"] = previous
        line["hash"] = digest(line)
        with self.file.open("ab") as writing:
            writing.write(json.dumps(line, sort_keys=True).encode() + b"\n")
            writing.flush()
            os.fsync(writing.fileno())
        return line

    def head(self) -> str:
        """The hash of the last whole line; FIRST where there is none. Raises ReceiptError."""
        if not self.file.exists():
            return FIRST
        with self.file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # whoever appends holds it until the line is on disk
            last, _ = _tail(file)
        return str(self._known(last)["hash"]) if last else FIRST

    def read(self) -> Iterator[Line]:
        """Every line in order. Raises ReceiptError at the first that does not fit the chain."""
        previous = FIRST
        for number, line in enumerate(self._lines(), start=1):
            if line.get("number") != number or line.get("previous") != previous:
                raise ReceiptError(
                    f"{self.file}, line {number}: a line is missing before it, or it was moved"
                )
            if line.get("hash") != digest(line):
                raise ReceiptError(f"{self.file}, line {number}: it was changed after it was written")
            previous = line["hash"]
            yield line

    def _lines(self) -> Iterator[Line]:
        if not self.file.exists():
            return
        with self.file.open("rb") as reading:
            for number, line in enumerate(reading, start=1):
                if not line.endswith(b"\n"):
                    return  # cut short; `append` removes it
                try:
                    content = json.loads(line)
                except ValueError as error:
                    raise ReceiptError(f"{self.file}, line {number}: not a line of the chain") from error
                if not isinstance(content, dict):
                    raise ReceiptError(f"{self.file}, line {number}: not a line of the chain")
                yield content

    def _last_whole_line(self) -> Line | None:
        """The last line; one that was cut short is removed."""
        with self.file.open("rb+") as file:
            last, end = _tail(file)
            file.truncate(end)
        return self._known(last) if last else None

    def _known(self, text: bytes) -> Line:
        try:
            last = json.loads(text)
            return {"number": last["number"], "hash": last["hash"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ReceiptError(
                f"{self.file}: its last line is not of the chain; run: course audit"
            ) from error


def _tail(file: BinaryIO) -> tuple[bytes, int]:
    """The last whole line of a file, empty where there is none, and the offset at which it ends."""
    size = start = file.seek(0, os.SEEK_END)
    tail = b""
    while start > 0 and tail.count(b"\n") < 2:
        end, start = start, max(0, start - (1 << 16))
        file.seek(start)
        tail = file.read(end - start) + tail
    whole = tail.rfind(b"\n") + 1
    lines = tail[:whole].splitlines()
    return (lines[-1] if lines else b""), size - len(tail) + whole


def digest(line: Line) -> str:
    """The hash of a line, over everything in it but the hash itself."""
    content = {name: value for name, value in line.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
