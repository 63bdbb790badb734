"""A whole machine for the deployment: its own /etc, PostgreSQL, proxy, Hub and nginx, and nothing of it outside a folder.

Programs run in a mount namespace in which a copy of /etc lies over the real one, so that `install`
makes real accounts and units there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from autograder.course import ROOT
from hub_config.errors import HubError
from hub_config.local import processes
from hub_config.ports import free_ports
from hub_config.proxy import proxy_command
from hub_config.server.settings import Settings, read_settings
from tests.hub.server import front, stand_ins
from tests.hub.server.deployment import settings_text
from tests.postgresql import ACCOUNT, Server

HUB_TOML = "model-compression-course/hub.toml"
PASSWORDS = {"ines": "ines-of-the-test", "ada": "ada-of-the-test", "bob": "bob-of-the-test"}


def can_be_made() -> str:
    """Why not, or nothing."""
    if os.geteuid() != 0:
        return "accounts and mounts need root"
    probe = ["unshare", "--mount", "mount", "--bind", "/etc", "/etc"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        return "this container may not mount anything"
    try:
        proxy_folder()
    except HubError as error:
        return str(error)
    return ""


def proxy_folder() -> Path:
    """An installed proxy; npm is asked for one where `make hub` has left none. Raises HubError."""
    program = "proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    found = [
        *Path("/opt/model-compression-course").glob(f"*/{program}"),
        *(ROOT / "build").glob(f"*/{program}"),
    ]
    if found:
        return found[0].parents[3]
    folder = ROOT / "build" / "tests" / "proxy"
    proxy_command(folder)
    return folder


class Machine:
    """The folder, the settings and the programs that run."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.etc = folder / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True)
        proxy, api, hub, course, handin, self.http, self.https = free_ports(7)
        ports = f"proxy = {proxy}\nproxy_api = {api}\nhub = {hub}\ncourse = {course}\nhandin = {handin}"
        urls = f'hub = "{server.url("jupyterhub")}"\ngradebook = "{server.url("gradebook")}"'
        for name in ("homes", "var"):
            (folder / name).mkdir(mode=0o755)
        (self.etc / HUB_TOML).parent.mkdir(mode=0o755)
        text = settings_text(folder, ports=ports, databases=urls)
        # with /etc in place, secrets and Jupyter's configuration have their usual paths
        text = text.replace(f"{folder}/etc/", "/etc/model-compression-course/")
        (self.etc / HUB_TOML).write_text(text, "utf-8")
        (self.etc / HUB_TOML).chmod(0o640)
        shutil.copytree(proxy_folder(), folder / "proxy", symlinks=True)
        self.programs = stand_ins.install(folder)
        self.settings: Settings = dataclasses.replace(
            read_settings(self.etc / HUB_TOML), file=Path("/etc") / HUB_TOML
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, arguments: list[str]) -> list[str]:
        """The same with the machine's /etc."""
        mount = f"mount --bind {shlex.quote(str(self.etc))} /etc && exec " + shlex.join(arguments)
        return ["unshare", "--mount", "sh", "-c", mount]

    def environment(self) -> dict[str, str]:
        """As a unit has it, with the stand-ins first."""
        extra = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        path = f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(self.folder / "state"), **extra}

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a program to its end; returns what it printed."""
        done = subprocess.run(
            self.command(list(arguments)),
            input=text,
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def restart_database(self) -> None:
        """PostgreSQL again, now with this machine's accounts: it asks who is behind a connection."""
        self.server.stop()
        start = ["pg_ctl", "--pgdata", str(self.server.data), "--log", str(self.server.folder / "server.log")]
        start = [
            "runuser",
            "-u",
            ACCOUNT,
            "--",
            str(self.server.bin / start[0]),
            *start[1:],
            "--wait",
            "start",
        ]
        nothing = subprocess.DEVNULL
        subprocess.run(
            self.command(start), stdin=nothing, stdout=nothing, stderr=nothing, cwd="/", check=True
        )

    def server_command(self, *arguments: str) -> str:
        """`python -m hub_config.server ...`"""
        return self.run(sys.executable, "-m", "hub_config.server", *arguments)

    def unit_command(self, unit: str) -> list[str]:
        """ExecStart of an installed unit."""
        text = (self.etc / "systemd" / "system" / unit).read_text("utf-8")
        found = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
        assert found is not None
        return shlex.split(found[1].replace("$$", "$"))

    def start(self, unit: str, port: int, *before: str, **environment: str) -> None:
        """Start a unit's command and wait until its port answers; its output goes to a file."""
        with (self.folder / f"{unit}.log").open("ab") as log:
            self.processes[unit] = subprocess.Popen(
                self.command([*before, *self.unit_command(unit)]),
                cwd=self.folder / "state",
                env={**self.environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            front.wait_for(port, self.processes[unit])
        except AssertionError:
            raise AssertionError(self.log(unit)[-4000:]) from None

    def start_proxy(self) -> None:
        """As the unit does: under an account of its own, the token from systemd's credentials."""
        credentials = self.folder / "credentials"
        credentials.mkdir(exist_ok=True)
        shutil.copy(
            self.etc / "model-compression-course" / "secrets" / "proxy_auth_token", credentials / "token"
        )
        (credentials / "token").chmod(0o644)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
        self.start(
            "course-proxy.service",
            self.settings.ports.proxy_api,
            *drop,
            CREDENTIALS_DIRECTORY=str(credentials),
        )

    def start_hub(self) -> None:
        """The Hub, until it and the course service answer."""
        self.start("course-hub.service", self.settings.ports.hub)
        process = self.processes["course-hub.service"]
        front.wait_for(self.settings.ports.course, process)
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert process.poll() is None and time.monotonic() < deadline, self.log("course-hub.service")[
                -4000:
            ]
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        """Whether the Hub answers through the proxy under its own name."""
        url = f"http://127.0.0.1:{self.settings.ports.proxy}/hub/health"
        request = urllib.request.Request(url, headers={"Host": self.settings.domain})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, unit: str) -> None:
        """End a unit's process with what it started, as systemd ends a control group."""
        process = self.processes.pop(unit)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        if unit == "course-hub.service":
            self._end_services()

    def kill(self, unit: str) -> None:
        """kill -9 of a unit's main process; then the rest of its control group, as systemd ends it."""
        process = self.processes.pop(unit)
        rest = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for one in rest:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(10)
        psutil.wait_procs(rest, timeout=10)

    def _end_services(self) -> None:
        """The Hub's services have sessions of their own; systemd would end them with the unit."""
        program = f"{self.settings.course.checkout}/.venv-staff/"
        found = [
            one
            for one in psutil.process_iter(["cmdline"])
            if (one.info["cmdline"] or [""])[0].startswith(program)
        ]
        processes.end_all(found, patience=5)

    def log(self, unit: str) -> str:
        """What a unit has printed."""
        return (self.folder / f"{unit}.log").read_text("utf-8", "replace")

    def end(self) -> None:
        """End everything that was started."""
        for unit in reversed(list(self.processes)):
            self.stop(unit)
        for file in (self.folder / "units").glob("*.pid"):
            try:
                os.killpg(int(file.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue
