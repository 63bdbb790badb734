"""Whose grade changed, when, by whom and why: the receipts of a notebook compared one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from autograder.course import Instance
from autograder.grade.current import is_deleted
from autograder.grade.receipts import Receipt, Receipts
from autograder.grade.regrade import Change, changes_between


@dataclass(frozen=True)
class Regraded:
    """One receipt that is not what the one before it said. `when` has a zone; `receipt` is its number."""

    when: datetime
    who: str
    lab: str
    receipt: int
    changes: list[Change]


def regrades(instance: Instance, lab_id: str = "") -> list[Regraded]:
    """Every change of a grade, the newest first, of one lab or all. Raises ReceiptError for a broken chain."""
    return sorted(_regrades(instance, lab_id), key=lambda one: -one.receipt)


def _regrades(instance: Instance, lab_id: str) -> Iterator[Regraded]:
    before: dict[tuple[str, str, str], Receipt] = {}
    for receipt in Receipts(instance.receipts).read():
        if lab_id and receipt["lab"] != lab_id:
            continue
        key = (receipt["lab"], receipt["student"], receipt["notebook"])
        earlier = before.get(key)
        before[key] = receipt
        if earlier is None or is_deleted(earlier) or is_deleted(receipt):
            continue
        changes = changes_between(earlier, receipt)
        if changes:
            when = datetime.fromisoformat(receipt["when"])
            yield Regraded(when, receipt.get("by", ""), receipt["lab"], receipt["number"], changes)
