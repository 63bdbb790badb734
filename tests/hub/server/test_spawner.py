"""Does systemdspawner, which is older than this JupyterHub, ask systemd for what the configuration promises?"""

from __future__ import annotations

import asyncio
import getpass
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.objects import Hub

pytest.importorskip("systemdspawner", reason="pip install -r requirements/server.lock into .venv-staff")

from systemdspawner import SystemdSpawner, systemd

from tests.hub.server import stand_ins
from tests.hub.server.deployment import Deployment

ACCOUNT = getpass.getuser()
UNIT = f"jupyter-{ACCOUNT}-singleuser"


def spawner(deployment: Deployment) -> Any:
    """A spawner as the Hub would make it for the account that runs the tests."""
    user = SimpleNamespace(
        name=ACCOUNT, id=1, escaped_name=ACCOUNT, url=f"/user/{ACCOUNT}/", settings={}, admin=False
    )
    made = SystemdSpawner(config=deployment.c, user=user, hub=Hub(), _deprecated_db_session=None)
    made.api_token = "a token of the Hub"
    made.oauth_client_id = f"jupyterhub-user-{ACCOUNT}"
    return made


@pytest.fixture
def started(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What systemd-run was asked, after a start, a poll and a stop."""
    programs = stand_ins.install(deployment.folder)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "the proxy's token")
    monkeypatch.setattr(systemd, "RUN_ROOT", str(deployment.folder))
    systemd.get_systemd_version.cache_clear()
    deployment.c.Spawner.cmd = [sys.executable, "-c", "import time; time.sleep(60)"]
    made = spawner(deployment)

    async def run() -> None:
        address = await made.start()
        assert address[0] == "127.0.0.1"
        assert await made.poll() is None, "it does not run"
        kept = made.get_state()
        again = spawner(deployment)  # as a restarted Hub finds it
        again.load_state(kept)
        assert await again.poll() is None, "a restarted Hub would not find it"
        await again.stop()
        assert await made.poll() == 1, "it was not stopped"

    asyncio.run(run())
    return stand_ins.record(deployment.folder, UNIT)


def test_limits_and_isolation(started: dict[str, Any], deployment: Deployment) -> None:
    properties = dict(started["properties"])
    expected = {
        "MemoryMax": str(4 << 30),
        "CPUQuota": "200%",
        "TasksMax": "512",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectProc": "invisible",
        "UMask": "0077",
        "CapabilityBoundingSet": "",
        "OOMPolicy": "continue",
    }
    assert {name: properties.get(name) for name in expected} == expected
    assert started["options"]["slice"] == "course-servers.slice"
    assert started["options"]["uid"] == str(os.getuid())
    writable = [value for name, value in started["properties"] if name == "ReadWriteDirectories"]
    assert writable == [f"{deployment.folder}/homes/{ACCOUNT}"]
    for secret in (deployment.settings.paths.secrets, deployment.settings.course.home):
        assert f"-{secret}" in properties["InaccessiblePaths"].split()


def test_environment_holds_nothing_of_the_hub(started: dict[str, Any]) -> None:
    assert started["environment"]["JUPYTERHUB_API_TOKEN"] == "a token of the Hub"
    assert "CONFIGPROXY_AUTH_TOKEN" not in started["environment"]
    assert started["file_mode"] == "0o100400"
    assert "a token of the Hub" not in str(started["command"]), "a command line can be read by everybody"
    assert "a token of the Hub" not in str(started["properties"])


def test_systemd_accepts_every_property(started: dict[str, Any], tmp_path: Path) -> None:
    """The same properties in a unit's file, because there is no running systemd here to ask."""
    lines = [f"{name}={value}" for name, value in started["properties"] if name != "EnvironmentFile"]
    unit = tmp_path / "course-server.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n" + "\n".join(lines) + "\n", "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert str(unit) not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
