"""A terminal in somebody's JupyterLab, typed into as a person does."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

SHOWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def open_terminal(context: BrowserContext, server: str) -> Page:
    """A new tab with a terminal of the server at this address."""
    page = context.new_page()
    page.goto(f"{server}/lab?reset")
    page.locator(".jp-LauncherCard", has_text="Terminal").click(timeout=90_000)
    page.locator(".jp-Terminal .xterm-screen").wait_for(timeout=60_000)
    page.locator(".jp-Terminal .xterm-screen").click()
    page.wait_for_timeout(1500)  # the shell's prompt has no event of its own
    return page


def run_line(page: Page, home: Path, line: str, seconds: int = 180) -> str:
    """Type a command; return what it printed. `home` is the folder in which the terminal begins."""
    output, done = home / ".terminal-output", home / ".terminal-done"
    for file in (output, done):
        file.unlink(missing_ok=True)
    page.keyboard.type(f"({line}) 2>&1 | tee {output.name}; touch {done.name}", delay=1)
    page.keyboard.press("Enter")
    for _ in range(seconds * 2):
        if done.exists():
            return SHOWN.sub("", output.read_text("utf-8"))
        page.wait_for_timeout(500)
    raise AssertionError(
        f"{line} did not end; it printed {output.read_text('utf-8') if output.exists() else 'nothing'}"
    )
