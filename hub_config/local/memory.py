"""What a running Hub and each of its servers hold in memory: `python -m hub_config.local.memory`, as root.

PSS counts a page that several processes share in parts, so the rows add up to what is used in all.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict

import psutil
from rich.console import Console
from rich.table import Table

PARTS = {
    "jupyterhub --config": "Hub",
    "configurable-http-proxy": "proxy",
    "autograder.service": "course service",
    "jupyterhub_idle_culler": "idle culler",
    "jupyterhub-singleuser": "server",
    "ipykernel_launcher": "kernel",
}


def part_of(command: str) -> str | None:
    """What a process with this command line is, or None when it is none of the Hub's."""
    return next((name for text, name in PARTS.items() if text in command), None)


def measure() -> dict[tuple[str, str], int]:
    """Bytes by part and account."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            part = part_of(" ".join(process.cmdline()))
            if part is not None:
                found[part, process.username()] += process.memory_full_info().pss
    return dict(found)


def main() -> None:
    """Print the table."""
    table = Table("part", "account", "MB (PSS)")
    sizes = measure()
    for (part, account), size in sorted(sizes.items()):
        table.add_row(part, account, f"{size / 1e6:.0f}")
    table.add_row("together", "", f"{sum(sizes.values()) / 1e6:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
