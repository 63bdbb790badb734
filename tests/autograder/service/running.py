"""The course service in a process of its own, on an instance of the small lab, with a stand-in for the Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import requests

from autograder.course import ROOT, Instance
from hub_config.ports import free_ports
from tests.conftest import MINI
from tests.handin.running import StandInHub

PREFIX = "/services/course/"
SCOPES = ["access:services", "access:services!service=course"]
STAFF = {
    "token-ines": ("user", "ines", SCOPES, "instructors"),
    "token-tomas": ("user", "tomas", SCOPES, "assistants"),
    "token-zoe": ("user", "zoe", SCOPES, "students"),
}
# the small lab has a course.toml of its own
CODE = (
    "import runpy; from autograder.course import load_course; "
    f"load_course.__defaults__ = (__import__('pathlib').Path({str(MINI / 'course.toml')!r}),); "
    "runpy.run_module('autograder.service', run_name='__main__')"
)


class RunningCourse:
    """`python -m autograder.service` for one instance."""

    def __init__(self, instance: Instance, hub: StandInHub, folder: Path, **environment: str) -> None:
        self.instance, self.hub = instance, hub
        hub.tokens.update(STAFF)
        (self.port,) = free_ports(1)
        self.log = folder / "course.log"
        settings = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            "COURSE_INSTANCE": str(instance.root),
            "COURSE_EXCHANGE": str(instance.exchange),
            "JUPYTERHUB_ROOT_DIR": str(instance.root.parent),
            "JUPYTERHUB_API_URL": hub.url,
            "JUPYTERHUB_API_TOKEN": "of-the-service",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "service-course",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(SCOPES),
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
            "JUPYTERHUB_SERVICE_NAME": "course",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            "JUPYTER_PATH": str(ROOT / ".venv" / "share" / "jupyter"),
            "JUPYTERLAB_DIR": str(ROOT / ".venv" / "share" / "jupyter" / "lab"),
            "JUPYTER_CONFIG_PATH": str(ROOT / "hub_config" / "jupyter" / "service"),
            **environment,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, "--allow-root"],
                cwd=instance.root,
                env=settings,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/course/class.css", timeout=2).ok
        except requests.RequestException:
            return False

    @property
    def url(self) -> str:
        """Of formgrader."""
        return f"http://127.0.0.1:{self.port}{PREFIX}formgrader"

    def ask(self, who: str, path: str, method: str = "GET", **form: str) -> requests.Response:
        """A request of one of STAFF; no redirect is followed."""
        headers = {"Authorization": f"token token-{who}"}
        return requests.request(
            method,
            f"{self.url}/{path}",
            data=form or None,
            headers=headers,
            allow_redirects=False,
            timeout=60,
        )

    def stop(self) -> None:
        """End it as the Hub does."""
        self.process.terminate()
        self.process.wait(20)
