"""The marked regions of a cell: solutions, hidden tests, marking schemes."""

from __future__ import annotations

from autograder.build.percent import SourceCell
from autograder.errors import BuildError

REGIONS = {
    "SOLUTION": ("solution", "written"),
    "HIDDEN TESTS": ("grade",),
    "MARK SCHEME": ("written", "markdown"),
}
"""Each region with the kinds of cell it may stand in."""


def check_regions(cell: SourceCell) -> None:
    """Raise BuildError when a marker is unbalanced, nested, or in the wrong kind of cell."""
    open_region: str | None = None
    for offset, line in enumerate(cell.source.splitlines()):
        for region, kinds in REGIONS.items():
            where = f"{cell.where}+{offset}"
            if f"BEGIN {region}" in line:
                if open_region is not None:
                    raise BuildError(
                        where, f"BEGIN {region} inside the region {open_region}: close that one first"
                    )
                if cell.kind not in kinds:
                    raise BuildError(where, f"a {region} region may not stand in a {cell.kind} cell")
                open_region = region
            elif f"END {region}" in line:
                if open_region != region:
                    raise BuildError(where, f"END {region} without its BEGIN")
                open_region = None
    if open_region is not None:
        raise BuildError(cell.where, f"BEGIN {open_region} is never closed: add '### END {open_region}'")


def split_region(source: str, region: str) -> tuple[str, list[str]]:
    """The text outside the regions of that name, and the text of each."""
    outside: list[str] = []
    inside: list[list[str]] = []
    within = False
    for line in source.splitlines():
        if f"BEGIN {region}" in line:
            inside.append([])
            within = True
        elif f"END {region}" in line:
            within = False
        else:
            (inside[-1] if within else outside).append(line)
    return "\n".join(outside), ["\n".join(lines) for lines in inside]
