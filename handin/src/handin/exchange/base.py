"""What nbgrader's exchange in a student's server needs to know: where the service is, and who asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import Exchange
from traitlets import Bool, Unicode

from handin.client import Client
from handin.deadlines import shown_time

URL = "HANDIN_URL"
"""Environment variable with the address of the service."""
TOKEN = "JUPYTERHUB_API_TOKEN"
"""The token of the user's own server; it is read when it is needed and kept nowhere."""
RECEIPTS = ".handin-receipts"
"""Folder in the assignment folder's parent with one receipt a hand-in."""


class ServiceExchange(Exchange):  # type: ignore[misc]
    """nbgrader's exchange over the service: no shared folder."""

    url = Unicode(help="Address of the hand-in service.").tag(config=True)
    path_includes_course = Bool(False, help="As in nbgrader's own exchange; labs lie in the home here.")

    def client(self) -> Client:
        """The service, asked in the name of whoever runs this server. Fails with a clear text without a Hub."""
        url, token = self.url or os.environ.get(URL, ""), os.environ.get(TOKEN, "")
        if not url or not token:
            self.fail(
                "This is no server of the course's Hub, so there is nobody to hand in to: log in at the Hub"
            )
        return Client(url, token)

    @property
    def lab(self) -> str:
        """The lab that was asked for."""
        return str(self.coursedir.assignment_id)

    def folder(self, lab: str) -> Path:
        """Where a student keeps a lab."""
        return Path(self.assignment_dir) / lab

    def init_src(self) -> None:
        """Nothing to prepare."""

    def init_dest(self) -> None:
        """Nothing to prepare."""


def attempt_folder(lab_folder: Path, attempt: dict[str, Any]) -> Path:
    """Where the feedback on an attempt is put, by its time, as nbgrader's own exchange does."""
    return lab_folder / "feedback" / shown_time(attempt["received"])
