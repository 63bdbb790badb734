"""docs/zoo.md: what became of every hand-in of the zoo, from build/zoo.json.

python -m tests.adversarial.page > docs/zoo.md
"""

from __future__ import annotations

import json
from itertools import groupby

from tests.adversarial.zoo import GROUPS, INNOCENT, RESULTS, Record, behaved

TITLES = {
    "tampering": "Tampering with assertions, IPython, torch and the course's own code",
    "lying": "Objects and tensors that lie",
    "exfiltration": "Telling hidden inputs and tests",
    "searches": "Searching memory, frames and files",
    "pages": "Active content for the feedback page",
    "wire": "Speaking to the judge directly",
    "forging": "Malformed values",
    "system_calls": "System calls",
    "escapes": "Escapes from the sandbox",
    "bombs": "Bombs",
    "endless": "Work without end",
    "notebooks": "Notebooks and folders that are not what they should be",
    "innocents": "Innocents: other ways to be right",
    "habits": "Innocents: habits",
}


def line(record: Record) -> str:
    """One row of the table."""
    earned = " + ".join(f"{points:g}" for points in record["got"].values()) or "nothing"
    honest = "as it should" if record["got"] == record["expected"] else "NOT AS IT SHOULD"
    traces = "nothing" if not record["leaked"] + record["left_behind"] else "SOMETHING"
    text = record["description"].replace("|", "\\|")
    return f"| {record['attack']} | {text} | {earned}, {honest} | {traces} | {record['seconds']:.1f} |"


def page(records: list[Record]) -> str:
    """The whole page."""
    good = sum(map(behaved, records))
    innocents = sum(record["innocent"] for record in records)
    parts = [
        "# The zoo",
        "",
        f"{len(records) - innocents} hostile and {innocents} harmless hand-ins of a small lab whose three checks are "
        f"worth 40, 30 and 20 points. {good} of {len(records)} behaved: they earned what they honestly earned, told "
        "nothing of hidden tests, and left no process, mount, control group or file. Measured by",
        "",
        "```\npython -m tests.adversarial.zoo\npython -m tests.adversarial.page > docs/zoo.md\n```",
        "",
        "A part of them runs with every `make test`, the others with `make nightly`.",
    ]
    order = sorted(records, key=lambda record: GROUPS.index(record["group"]))
    for group, found in groupby(order, key=lambda record: str(record["group"])):
        parts += [
            "",
            f"## {TITLES[group]}",
            "",
            "| Hand-in | What it does | Earned | Told or left | Seconds |",
            "|---|---|---|---|---|",
        ]
        parts += [line(record) for record in found]
    assert set(TITLES) == set(GROUPS) and set(INNOCENT) <= set(TITLES)
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(json.loads(RESULTS.read_text("utf-8"))))
