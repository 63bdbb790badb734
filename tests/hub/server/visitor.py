"""Somebody with a browser: cookies, redirects, TLS, and names below course.test that lead to this machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

HUB = "https://course.test"


class Visitor(requests.Session):
    """One browser; every address leads to nginx's port, the names stay what they are."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__()
        self.verify = str(folder / "tls.crt")
        self.trust_env = False
        self.mount("https://", _ToThisMachine(port))

    def log_in(self, name: str, password: str) -> requests.Response:
        """Fill in the Hub's form."""
        page = self.get(f"{HUB}/hub/login")
        found = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
        assert found is not None, page.text[:2000]
        form = {"username": name, "password": password, "_xsrf": found[1]}
        return self.post(
            f"{HUB}/hub/login?next=%2Fhub%2Fhome", data=form, headers={"Referer": f"{HUB}/hub/login"}
        )

    def start_server(self, name: str, seconds: float = 60) -> str:
        """Start the own server and return its address."""
        self.get(f"{HUB}/hub/spawn")
        url = f"https://{name}.course.test/user/{name}"
        deadline = time.monotonic() + seconds
        while True:
            page = self.get(f"{url}/lab")  # by way of the Hub, which lets the own user in
            if page.status_code == 200 and page.url.startswith(url):
                return url
            assert time.monotonic() < deadline, f"{page.status_code} {page.url} {page.text[-800:]}"
            time.sleep(0.3)

    def status(self, name: str) -> requests.Response:
        """Ask a server how it is, as its own pages do."""
        host = f"{name}.course.test"
        token = next(
            (cookie.value for cookie in self.cookies if (cookie.domain, cookie.name) == (host, "_xsrf")), ""
        )
        url = f"https://{host}/user/{name}/api/status"
        return self.get(url, headers={"X-XSRFToken": token or ""}, allow_redirects=False)


class _ToThisMachine(HTTPAdapter):
    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> HTTPSConnectionPool:
        pool = super().get_connection_with_tls_context(*arguments, **named)
        port = self.port

        class Here(HTTPSConnection):
            def _new_conn(self) -> Any:
                from urllib3.util.connection import create_connection

                return create_connection(("127.0.0.1", port), self.timeout)

        pool.ConnectionCls = Here
        return pool
