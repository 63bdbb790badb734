"""The Hub on Kubernetes: its configuration is one that JupyterHub takes, and a student's pod has no rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
from jupyterhub.app import JupyterHub
from kubespawner import KubeSpawner
from traitlets.config import Config

from autograder.course import ROOT
from hub_config.errors import HubError
from hub_config.hub import MEMORY
from hub_config.kubernetes.configuration import configure
from tests.kubernetes.chart import chart_part
from tests.kubernetes.conftest import TOKENS
from tests.kubernetes.files import Document, container, environment, values
from tests.kubernetes.security import violations

CHART = """
import sys
sys.path.insert(0, {root!r})
from tornado.httpclient import AsyncHTTPClient
from tests.kubernetes.chart import chart_part
from tests.kubernetes.files import values

AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
c.merge(chart_part(values()))
for _, text in sorted(values()["hub"]["extraConfig"].items()):
    exec(text)
"""
"""Stands for the chart's jupyterhub_config.py, which runs hub.extraConfig last."""


def test_jupyterhub_takes_the_configuration(tokens: Path) -> None:
    """An option that JupyterHub or KubeSpawner does not know is a warning there, and an error here."""
    (tokens / "jupyterhub_config.py").write_text(CHART.format(root=str(ROOT)))
    (tokens / "z2jh.py").write_text(f"def get_config(name):\n    return {values()!r}[name]\n")
    done = subprocess.run(
        [sys.executable, "-m", "jupyterhub", "--config", "jupyterhub_config.py", "--show-config"],
        env={**os.environ, "PYTHONPATH": str(tokens), "CONFIGPROXY_AUTH_TOKEN": "p" * 64},
        cwd=tokens, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "not recognized" not in done.stderr, done.stderr
    assert "kubespawner.KubeSpawner" in done.stdout and "subdomain_host" in done.stdout


def test_every_option_is_one_of_its_class(configuration: Config) -> None:
    """KubeSpawner is not loaded by --show-config, so its names are compared here."""
    known = set(KubeSpawner.class_trait_names(config=True))
    assert set(configuration.KubeSpawner) | set(configuration.Spawner) <= known
    assert set(configuration.JupyterHub) <= set(JupyterHub.class_trait_names(config=True))


def test_a_students_pod_is_one_that_kubernetes_takes(adas_pod: Document) -> None:
    kubernetes_validate.validate(adas_pod, "1.37", strict=True)


def test_a_students_pod_may_nothing(adas_pod: Document) -> None:
    spec = adas_pod["spec"]
    assert violations(spec) == []
    assert spec["automountServiceAccountToken"] is False and "serviceAccountName" not in spec
    assert spec["enableServiceLinks"] is False
    assert "initContainers" not in spec
    (only,) = spec["containers"]
    assert only["securityContext"]["runAsUser"] == only["securityContext"]["runAsGroup"] == 1000
    assert spec["securityContext"]["fsGroup"] == 1000


def test_a_students_pod_has_limits_and_what_is_promised(adas_pod: Document) -> None:
    resources = container(adas_pod, "notebook")["resources"]
    assert MEMORY == "4G" and resources["limits"]["memory"] == 4 * 2**30
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert resources["limits"]["cpu"] == 2.0 and resources["limits"]["ephemeral-storage"] == "4Gi"


def test_a_student_sees_their_home_and_reads_the_published_labs(adas_pod: Document) -> None:
    mounts = {one["mountPath"]: one for one in container(adas_pod, "notebook")["volumeMounts"]}
    assert set(mounts) == {"/home/student", "/exchange"}
    assert mounts["/exchange"]["readOnly"] is True
    volumes = {one["name"]: one["persistentVolumeClaim"] for one in adas_pod["spec"]["volumes"]}
    assert volumes[mounts["/exchange"]["name"]] == {"claimName": "published", "readOnly": True}
    assert volumes[mounts["/home/student"]["name"]]["claimName"] == "claim-ada"


def test_a_students_environment_is_the_courses_and_holds_no_secret(adas_pod: Document) -> None:
    seen = environment(container(adas_pod, "notebook"))
    assert seen["HANDIN_URL"] == "http://handin:8083/services/handin"
    assert seen["COURSE_EXCHANGE"] == "/exchange" and seen["JUPYTERHUB_API_URL"] == "http://hub:8081/hub/api"
    assert not any(token in json.dumps(adas_pod) for token in TOKENS.values())
    assert not set(seen) & {"PATH", "HOME", "CONFIGPROXY_AUTH_TOKEN", "PYTHONPATH"}


def test_what_the_chart_says_about_walls_does_not_count(tokens: Path) -> None:
    """Somebody who weakens values.yaml by the chart's own options weakens nothing."""
    c = chart_part(values())
    c.KubeSpawner.uid = 0
    c.KubeSpawner.privileged = True
    c.KubeSpawner.service_account = "admin"
    c.KubeSpawner.mem_limit = "64G"
    c.KubeSpawner.environment = {"PATH": "/tmp"}
    c.KubeSpawner.init_containers = [{"name": "root", "securityContext": {"privileged": True}}]
    strong = chart_part(values())
    for one in (c, strong):
        configure(one, values()["custom"])
    assert c.KubeSpawner == strong.KubeSpawner


def test_roles_are_those_of_every_deployment(configuration: Config) -> None:
    roles = {role["name"]: role for role in configuration.JupyterHub.load_roles}
    assert "access:services!service=handin" in roles["server"]["scopes"]
    assert all("inherit" not in role["scopes"] for role in roles.values())
    assert configuration.JupyterHub.load_groups["students"] == {"users": ["ada", "bob"]}
    assert configuration.Authenticator.allowed_users == {"ines", "tomas", "ada", "bob"}
    culler = next(one for one in configuration.JupyterHub.services if one["name"] == "idle-culler")
    assert "admin" not in culler and "--timeout=3600" in culler["command"]


def test_pages_of_two_people_are_on_two_names(configuration: Config) -> None:
    assert configuration.JupyterHub.subdomain_host == "https://course.example.edu"
    assert configuration.JupyterHub.tornado_settings == {
        "slow_spawn_timeout": 0,
        "cookie_options": {"secure": True, "samesite": "Lax"},
    }


def test_people_may_come_from_a_platform(tokens: Path) -> None:
    platform = {
        "issuer": "https://canvas.instructure.com",
        "client_ids": ["10000000000001"],
        "authorize_url": "https://sso.canvaslms.com/api/lti/authorize_redirect",
        "jwks_url": "https://sso.canvaslms.com/api/lti/security/jwks",
        "username": "lis_person_sourcedid",
    }
    c = chart_part(values())
    configure(c, {**values()["custom"], "lti": platform})
    assert c.JupyterHub.authenticator_class == "hub_config.lti_login.PlatformLogin"
    with pytest.raises(HubError, match="client_ids"):
        configure(c, {**values()["custom"], "lti": {**platform, "client_ids": []}})
