"""HTTP requests as a logged-in person's browser sends them: for tests and measurements."""

from __future__ import annotations

import re
import time
from typing import Any

import requests

from hub_config.running import RunningHub

PART = re.compile(r"/(hub|services/[a-z]+|user/[^/]+)/")
"""The part of the Hub that an address belongs to; each has an XSRF cookie of its own."""


class Person:
    """Somebody who has logged in at the Hub. `name` is without the Hub's prefix."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        self.hub, self.name = hub, name
        self.http = requests.Session()
        login = f"{hub.url}/hub/login"
        self.http.get(login)
        form = {"username": hub.prefix + name, "password": hub.passwords[hub.prefix + name]}
        form["_xsrf"] = self.cookie("/hub/")
        self.http.post(login, data=form, allow_redirects=False).raise_for_status()

    @property
    def server(self) -> str:
        """The path of the person's own server."""
        return f"/user/{self.hub.prefix}{self.name}"

    def enter(self, path: str) -> requests.Response:
        """Open a page, going through the Hub's login where that part of it asks for one."""
        return self.http.get(self.hub.url + path)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as a script of a page of that part would, and follow no redirection."""
        part = PART.match(path)
        assert part is not None, path
        headers = {
            "X-XSRFToken": self.cookie(part[0]),
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
        }
        return self.http.request(
            method, self.hub.url + path, headers=headers, allow_redirects=False, **options
        )

    def start_server(self, seconds: float = 60) -> None:
        """Start the person's server and enter it. Raises TimeoutError."""
        self.http.get(f"{self.hub.url}/hub/spawn/{self.hub.prefix}{self.name}")
        deadline = time.monotonic() + seconds
        # a page, because the Hub's login is gone through for pages only
        while not self.enter(f"{self.server}/lab").url.startswith(f"{self.hub.url}{self.server}/lab"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server of {self.name} did not start within {seconds:g} s")
            time.sleep(0.5)

    def cookie(self, path: str) -> str:
        """The XSRF cookie of one part of the Hub, or no text."""
        values = [one.value for one in self.http.cookies if one.name == "_xsrf" and one.path == path]
        return values[0] or "" if values else ""
