"""What the launcher prints when the Hub is ready."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from hub_config.hub import MEMORY
from hub_config.limited_spawner import describe_limit
from hub_config.site import Site


def print_welcome(console: Console, site: Site, passwords: dict[str, str], port: int, unix: bool) -> None:
    """Who can log in and what to click first."""
    table = Table("account", "password", "is", "first clicks")
    clicks = {
        "student": "Nbgrader > Assignment List > Fetch, open a notebook, Validate, Submit",
        "assistant": "Collect, click the number of submissions, Autograde, Manual Grading",
        "instructor": "JupyterLab of the course: source/, then course build, course release",
    }
    roles = [("student", site.students), ("assistant", site.assistants), ("instructor", site.instructors)]
    for role, names in roles:
        for name in names:
            table.add_row(name, passwords[name], role, clicks[role])
    console.print(f"The course is served at http://127.0.0.1:{port} (this machine only). Ctrl-C stops it.")
    if not unix:
        console.print(
            "For trying out only: without root, everybody shares this account and can read everything."
        )
    console.print(table)
    console.print(f"memory limit: {describe_limit(MEMORY) if unix else 'by address space of each process'}")
