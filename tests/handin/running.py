"""The service in a process of its own, with a stand-in for the Hub that knows a few tokens."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupyterhub
import requests
from handin.client import Client

from hub_config.ports import free_ports

PREFIX = "/services/handin/"
SCOPE = "access:services!service=handin"
TOKENS: dict[str, tuple[Any, ...]] = {
    "token-ada": ("user", "ada", [SCOPE]),
    "token-bob": ("user", "bob", [SCOPE]),
    "token-out": ("user", "out", []),
    "token-collector": ("service", "course", [SCOPE]),
    "token-other": ("service", "other", [SCOPE]),
}
"""Kind, name and scopes of whoever has a token; groups may follow."""


class StandInHub:
    """Answers `/hub/api/user` as JupyterHub does; `tokens` may be changed while it runs."""

    def __init__(self) -> None:
        self.tokens = dict(TOKENS)
        self.asked = 0
        hub = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked += 1
                if self.path.rstrip("/") == "/hub/api":
                    self.say({"version": jupyterhub.__version__})
                    return
                token = self.headers.get("Authorization", "").removeprefix("token ")
                if token not in hub.tokens:
                    self.send_error(403)
                    return
                kind, name, scopes, *groups = hub.tokens[token]
                self.say({"kind": kind, "name": name, "scopes": scopes, "groups": groups, "admin": False})

            def say(self, answer: dict[str, object]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.server.server_port}/hub/api"

    def stop(self) -> None:
        """End it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class RunningService:
    """`python -m handin.service` on a folder; `published` is where labs are released."""

    def __init__(self, folder: Path, hub: StandInHub, *command_prefix: str, **environment: str) -> None:
        self.folder, self.hub, self.command_prefix = folder, hub, command_prefix
        self.published = folder / "published"
        self.published.mkdir(exist_ok=True)
        self.kept = folder / "kept"
        self.log = folder / "service.log"
        self.environment = environment
        (self.port,) = free_ports(1)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            "JUPYTERHUB_API_URL": self.hub.url,
            "JUPYTERHUB_API_TOKEN": "of-the-service",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "service-handin",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps([SCOPE]),
            "JUPYTERHUB_SERVICE_NAME": "handin",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            "HANDIN_FOLDER": str(self.kept),
            "HANDIN_PUBLISHED": str(self.published),
            "HANDIN_COLLECTOR": "course",
            "HANDIN_TIME_ZONE": "Asia/Taipei",
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command_prefix, sys.executable, "-m", "handin.service"],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/static/page.css", timeout=2).ok
        except requests.RequestException:
            return False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}{PREFIX.rstrip('/')}"

    def client(self, who: str) -> Client:
        """The service asked by one of TOKENS."""
        return Client(self.url, f"token-{who}")

    def publish(self, lab: str, *names: str) -> None:
        """Release a lab with notebooks of these names."""
        (self.published / lab).mkdir()
        for name in names:
            (self.published / lab / f"{name}.ipynb").write_text("{}")

    def takes_hand_ins(self, login: str) -> None:
        """Assert that a hand-in reaches the course service, and that a browser is sent to log in at `login`."""
        lab, files = "Lab-0.1-Mini", {"01-Scale.ipynb": b"{}"}
        self.publish(lab, "01-Scale")
        receipt = self.client("ada").hand_in(lab, files)
        assert self.client("collector").attempt(receipt["id"]) == files
        page = requests.get(f"{self.url}/", allow_redirects=False, timeout=20)
        assert page.status_code == 302 and page.headers["Location"].startswith(login)

    def kept_files(self) -> list[str]:
        """Names of all files of hand-ins and feedback, finished or not."""
        return sorted(
            path.name for path in self.kept.rglob("*") if path.is_file() and "handin.db" not in path.name
        )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as the Hub does."""
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def hanging(service: RunningService) -> Iterator[None]:
    """The service takes connections and answers none."""
    service.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        service.process.send_signal(signal.SIGCONT)
