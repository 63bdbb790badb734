"""A real Hub with the course's people and logins, and no proxy, no services, no servers: it is up in seconds."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests
from jupyterhub.proxy import Proxy

from autograder.course import ROOT
from hub_config.lti import Lti

STAFF = {"instructors": ["ines"], "assistants": ["tomas"]}
STUDENTS = ["ada", "bob", "karl"]
CONFIGURATION = """
import json, sys
sys.path.insert(0, {root!r})
from hub_config.hub import declare_people
from hub_config.lti import Lti, configure_lti
c = get_config()
declare_people(c, {instructors!r}, {assistants!r}, {students!r})
configure_lti(c, Lti(**json.loads({lti!r})), {address!r})
c.JupyterHub.services = [{{"name": name, "api_token": f"{{name:*<16}}"}} for name in ("course", "handin", "idle-culler")]
# the cookies of both deployments
c.JupyterHub.cookie_host_prefix_enabled = True
c.JupyterHub.tornado_settings = {{"cookie_options": {{"secure": True, "samesite": "Lax"}}}}
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.subdomain_host = {domain!r}
c.JupyterHub.proxy_class = "tests.hub.lti.small_hub.NoProxy"
"""


class NoProxy(Proxy):  # type: ignore[misc]
    """Remembers routes; the tests speak to the Hub itself."""

    should_start = False

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.routes: dict[str, Any] = {}

    async def add_route(self, routespec: str, target: str, data: Any) -> None:
        """Remember one."""
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        """Forget one."""
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        """All of them."""
        return self.routes


class SmallHub:
    """One process, from the making of the object until `stop`; with a `domain` people know it by that address."""

    def __init__(self, folder: Path, lti: Lti, port: int, domain: str = "") -> None:
        self.url, self.log = f"http://localhost:{port}", folder / "hub.log"
        text = CONFIGURATION.format(
            root=str(ROOT), **STAFF, students=STUDENTS, lti=json.dumps(dataclasses.asdict(lti)),
            address=domain or self.url, port=port, domain=domain,
        )  # fmt: skip
        (folder / "config.py").write_text(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", "config.py"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self, seconds: float = 60) -> SmallHub:
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-4000:]
            try:
                if requests.get(f"{self.url}/hub/health", timeout=5).ok:
                    return self
            except requests.ConnectionError:
                time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
