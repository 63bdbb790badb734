"""Receipts: one line for every notebook whose grade was written, each chained to the one before.

A receipt says what was graded (hash of the hand-in), against what (version of the notebook's tests, parts of
the environment), under which limits, and what came out: each check's value against its limit. It carries the
hash of the receipt before it, so that a line that was changed, removed or slipped in shows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.errors import ReceiptError

FIRST = "0" * 64
"""What the first receipt names as the one before it."""
Receipt = dict[str, Any]


class Receipts:
    """The receipts of one instance. Only the one writer of the gradebook appends."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, content: Receipt) -> Receipt:
        """Chain a receipt to the last and write it down for good.

        A last line that was cut short, by a process killed while it wrote, is removed first: its grade is
        written again by whoever grades next.
        """
        created = not self.file.exists()
        self.file.touch(mode=0o600)
        # nbgrader's own command appends too, without the gradebook's lock
        with self.file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            receipt = self._append(content)
        if created:
            _sync_folder(self.file.parent)
        return receipt

    def _append(self, content: Receipt) -> Receipt:
        last = self._last_whole_line()
        number, previous = (last["number"] + 1, last["hash"]) if last else (1, FIRST)
        receipt = {"number": number, "when": datetime.now(UTC).isoformat(timespec="seconds"), **content}
        receipt["previous"] = previous
        receipt["hash"] = digest(receipt)
        with self.file.open("ab") as writing:
            writing.write(json.dumps(receipt, sort_keys=True).encode() + b"\n")
            writing.flush()
            os.fsync(writing.fileno())
        return receipt

    def read(self) -> Iterator[Receipt]:
        """Every receipt in order. Raises ReceiptError at the first that does not fit the chain."""
        previous = FIRST
        for number, receipt in enumerate(self._lines(), start=1):
            if receipt.get("number") != number or receipt.get("previous") != previous:
                raise ReceiptError(
                    f"{self.file}, line {number}: a receipt is missing before it, or it was moved"
                )
            if receipt.get("hash") != digest(receipt):
                raise ReceiptError(f"{self.file}, line {number}: it was changed after it was written")
            previous = receipt["hash"]
            yield receipt

    def latest(self) -> dict[tuple[str, str, str], Receipt]:
        """The last receipt of each (lab, student, notebook). Raises ReceiptError."""
        return {(item["lab"], item["student"], item["notebook"]): item for item in self.read()}

    def _lines(self) -> Iterator[Receipt]:
        if not self.file.exists():
            return
        with self.file.open("rb") as reading:
            for number, line in enumerate(reading, start=1):
                if not line.endswith(b"\n"):
                    return  # cut short; `append` removes it
                try:
                    receipt = json.loads(line)
                except ValueError as error:
                    raise ReceiptError(f"{self.file}, line {number}: not a receipt") from error
                if not isinstance(receipt, dict):
                    raise ReceiptError(f"{self.file}, line {number}: not a receipt")
                yield receipt

    def _last_whole_line(self) -> Receipt | None:
        if not self.file.exists():
            return None
        with self.file.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            tail = b""
            while end > 0 and tail.count(b"\n") < 2:
                start = max(0, end - (1 << 16))
                file.seek(start)
                tail = file.read(end - start) + tail
                end = start
            whole = tail.rfind(b"\n") + 1
            if whole < len(tail):
                file.truncate(size - len(tail) + whole)
        lines = tail[:whole].splitlines()
        if not lines:
            return None
        try:
            last = json.loads(lines[-1])
            return {"number": last["number"], "hash": last["hash"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ReceiptError(f"{self.file}: its last line is not a receipt; run: course audit") from error


def digest(receipt: Receipt) -> str:
    """The hash of a receipt, over everything in it but the hash itself."""
    content = {name: value for name, value in receipt.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
