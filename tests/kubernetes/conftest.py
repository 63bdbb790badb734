"""The Hub's configuration on Kubernetes, and the pods that come of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.objects import Hub, Server
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import Config

from hub_config.kubernetes.configuration import SECRETS_VARIABLE
from tests.kubernetes.chart import chart_part
from tests.kubernetes.files import Document, values

TOKENS = {"course_token": "c" * 64, "handin_token": "h" * 64}


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the Secret `course-tokens` is mounted."""
    for name, token in TOKENS.items():
        (tmp_path / name).write_text(token + "\n")
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def configuration(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """What the Hub would run with: the chart's part, and what values.yaml runs on top of it."""
    c = chart_part(values())
    monkeypatch.setitem(sys.modules, "z2jh", SimpleNamespace(get_config=lambda name: values()[name]))
    exec(values()["hub"]["extraConfig"]["course"], {"c": c})
    return c


@pytest.fixture
def adas_pod(configuration: Config, monkeypatch: pytest.MonkeyPatch) -> Document:
    """The pod of the student ada, as Kubernetes would be asked for it."""
    # it would look for a cluster
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    return asyncio.run(_pod("ada", configuration))


async def _pod(name: str, configuration: Config) -> Any:
    user = SimpleNamespace(name=name, id=1, url=f"/user/{name}/", server=None)
    hub = Hub(bind_url="http://:8081", connect_url="http://hub:8081", base_url="/hub/")
    spawner = KubeSpawner(config=configuration, user=user, hub=hub, _mock=True)
    spawner.server = Server(ip="0.0.0.0", port=8888, base_url=f"/user/{name}/")
    manifest = await spawner.get_pod_manifest()
    client = ApiClient()
    try:
        return client.sanitize_for_serialization(manifest)
    finally:
        await client.close()
        await spawner.api.api_client.close()
