"""Wait until the Hub and its services answer."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from hub_config.errors import HubError
from hub_config.hub import SERVICE
from hub_config.site import HANDIN

START_SECONDS = 60


def wait_until_ready(started: subprocess.Popen[bytes], port: int, state: Path) -> None:
    """Until Hub, proxy and course service answer. Raises HubError with the end of the log."""
    deadline = time.monotonic() + START_SECONDS
    for page in (
        "/hub/health",
        f"/services/{SERVICE}/formgrader/static/css/nbgrader.css",
        f"/services/{HANDIN}/static/page.css",
    ):
        while not _answers(f"http://127.0.0.1:{port}{page}"):
            if started.poll() is not None or time.monotonic() > deadline:
                tail = (state / "hub" / "log").read_text("utf-8", "replace")[-1500:]
                raise HubError(f"the Hub did not start; the end of {state / 'hub' / 'log'}:\n{tail}")
            time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
