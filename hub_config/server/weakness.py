"""One thing that makes a deployment unsafe, as a person reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weakness:
    """`what` is wrong, `where` is the file or setting, `remedy` is what to do."""

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n    where: {self.where}\n    do:    {self.remedy}"
