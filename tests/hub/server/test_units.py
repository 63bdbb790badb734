"""Do the units hold up before systemd's own checks, as far as they can be made without a running systemd?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hub_config.errors import HubError
from hub_config.server import render
from tests.hub.server.deployment import Deployment

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: apt-get install -y systemd"
)
EXPOSURE = {"course-proxy.service": 15, "course-backup.service": 20, "course-hub.service": 60}
"""The most that `systemd-analyze security` may find, in tenths; 96 is a unit without any hardening.

The Hub changes accounts and carries the graders' sandbox, so it stays the highest.
"""


@pytest.fixture
def units(deployment: Deployment, tmp_path: Path) -> Path:
    """The units as `install` writes them, for a machine whose programs exist here."""
    folder = tmp_path / "units"
    folder.mkdir()
    given = render.values(deployment.settings)
    given["node"] = shutil.which("node") or "/bin/true"
    for name in render.UNITS:
        (folder / name).write_text(render.unit(name, given), "utf-8")
    return folder


def test_systemd_accepts_them(units: Path) -> None:
    """Unknown keys, bad values and missing programs are errors here."""
    files = [str(units / name) for name in render.UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True)
    ours = [
        line for line in (done.stdout + done.stderr).splitlines() if "course-" in line or str(units) in line
    ]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", EXPOSURE)
def test_exposure_stays_below_its_limit(units: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[name]}"]
    done = subprocess.run([*command, str(units / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:]


def test_no_name_is_left_open(units: Path) -> None:
    for file in units.iterdir():
        assert not render.PLACE.search(file.read_text("utf-8")), file.name


def test_name_without_a_value_is_an_error() -> None:
    with pytest.raises(HubError, match="@nobody_knows@ has no value"):
        render.render("x=@nobody_knows@", {})


def test_no_secret_is_in_a_unit(deployment: Deployment, units: Path) -> None:
    """A unit's environment can be read by everybody with `systemctl show`."""
    values = [path.read_text() for path in Path(deployment.settings.paths.secrets).iterdir()]
    for file in units.iterdir():
        assert not any(value in file.read_text("utf-8") for value in values)


def test_proxy_does_not_end_with_the_hub(units: Path) -> None:
    text = (units / "course-proxy.service").read_text("utf-8")
    assert not re.search(r"^(Requires|BindsTo|PartOf|StopPropagatedFrom)=", text, re.MULTILINE)
    assert "Before=course-hub.service" in text
    hub = (units / "course-hub.service").read_text("utf-8")
    assert "Wants=course-proxy.service" in hub
    assert not re.search(r"^(Requires|BindsTo|PartOf)=", hub, re.MULTILINE)


def test_what_is_killed_is_started_again_and_leaves_no_orphan(units: Path) -> None:
    """A killed Hub takes its services with it: an orphan would hold the port and the folder of hand-ins."""
    hub, proxy = ((units / f"course-{name}.service").read_text("utf-8") for name in ("hub", "proxy"))
    assert re.search(r"^Restart=on-failure$", hub, re.MULTILINE)  # which an end by a signal is
    assert re.search(r"^Restart=always$", proxy, re.MULTILINE)
    # both end the whole control group; mixed, which is for the queue's sake, at once when the Hub is gone
    assert re.search(r"^KillMode=mixed$", hub, re.MULTILINE) and "KillMode=" not in proxy


def test_proxy_starts_with_its_token_out_of_sight(
    deployment: Deployment, units: Path, tmp_path: Path
) -> None:
    """The command of the unit, run by a shell as systemd would run it, with a stand-in for Node.js."""
    node = tmp_path / "node"
    node.write_text('#!/bin/sh\necho "token $CONFIGPROXY_AUTH_TOKEN"\necho "$@"\n')
    node.chmod(0o755)
    text = (units / "course-proxy.service").read_text("utf-8")
    command = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", text, re.MULTILINE)
    assert command is not None
    script = command[1].replace("$$", "$").replace(shutil.which("node") or "/bin/true", str(node))
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("0123abcd\n")
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"CREDENTIALS_DIRECTORY": str(credentials), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    token, arguments = done.stdout.splitlines()
    assert token == "token 0123abcd"
    assert "0123abcd" not in arguments
    ports = deployment.settings.ports
    assert f"--ip 127.0.0.1 --port {ports.proxy} --api-ip 127.0.0.1 --api-port {ports.proxy_api}" in arguments
    assert "--host-routing" in arguments
    assert f"--error-path {deployment.folder}/proxy/pages" in arguments
