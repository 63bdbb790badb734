"""`make lock`: write requirements/*.lock from what .venv-staff holds, following requirements/*.in."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
HEADER = "# Made by `make lock`; edit the .in file beside it instead.\n"


def requirements(name: str) -> list[Requirement]:
    """The direct requirements of one .in file."""
    lines = [line.split("#")[0].strip() for line in (FOLDER / f"{name}.in").read_text().splitlines()]
    return [Requirement(line) for line in lines if line]


def closure(direct: list[Requirement]) -> dict[str, str]:
    """Every installed package that the direct ones need, by canonical name, as `Name==version`."""
    pins: dict[str, str] = {}
    seen: dict[str, set[str]] = {}
    todo = [(requirement.name, set(requirement.extras)) for requirement in direct]
    while todo:
        name, extras = todo.pop()
        key = canonicalize_name(name)
        if key in seen and extras <= seen[key]:
            continue
        seen[key] = seen.get(key, set()) | extras
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is required but not installed; it is left out", file=sys.stderr)
            continue
        pins[key] = f"{distribution.metadata['Name']}=={distribution.version.split('+')[0]}"
        for text in distribution.requires or []:
            needed = Requirement(text)
            wanted = {"", *extras}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted):
                todo.append((needed.name, set(needed.extras)))
    return pins


def main() -> None:
    """Write the locks; a package stands in the first one that needs it."""
    written: set[str] = set()
    for name in ("course", "staff", "server", "test"):
        pins = {key: pin for key, pin in closure(requirements(name)).items() if key not in written}
        (FOLDER / f"{name}.lock").write_text(HEADER + "".join(f"{pin}\n" for _, pin in sorted(pins.items())))
        written |= set(pins)


if __name__ == "__main__":
    main()
