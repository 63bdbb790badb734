"""Zero to JupyterHub as far as the tests need it: which options it has, and what it does with ours.

The chart is not here: neither helm nor a cluster is. `OPTIONS` and `chart_part` were written from its reference and
from what its jupyterhub_config.py does (4.x), and say no more than what is needed to put our part on top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from traitlets.config import Config

VERSION = "4.4.0"
OPTIONS = Path(__file__).with_name("chart_options.yaml")
KINDS = {"string", "boolean", "array", "object", "integer"}


def schema(options: Any = None) -> dict[str, Any]:
    """OPTIONS as a JSON schema in which no other name is allowed."""
    if options is None:
        options = yaml.safe_load(OPTIONS.read_text("utf-8"))
    if options == 1:
        return {}
    if isinstance(options, list):
        return {"enum": options}
    if isinstance(options, str):
        assert options in KINDS
        return {"type": options}
    properties = {name: schema(one) for name, one in options.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def chart_part(values: dict[str, Any]) -> Config:
    """What the chart's own configuration has set before it runs hub.extraConfig, defaults of the chart included."""
    c = Config()
    single, hub = values["singleuser"], values["hub"]
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
    c.ConfigurableHTTPProxy.should_start = False
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.last_activity_interval = 60
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
    c.JupyterHub.concurrent_spawn_limit = 64
    c.JupyterHub.base_url = "/"
    c.JupyterHub.template_paths = []
    c.JupyterHub.template_vars = {}
    c.JupyterHub.allow_named_servers = False
    c.JupyterHub.hub_bind_url = "http://:8081"
    c.JupyterHub.hub_connect_url = "http://hub:8081"
    c.JupyterHub.services = []
    c.Spawner.consecutive_failure_limit = 5
    c.Spawner.cmd = "jupyterhub-singleuser"
    spawner = c.KubeSpawner
    spawner.namespace = "course"
    spawner.common_labels = {"app": "jupyterhub", "release": "hub", "chart": f"jupyterhub-{VERSION}"}
    spawner.start_timeout = 300
    spawner.events_enabled = True
    spawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
    spawner.uid, spawner.fs_gid = 1000, 100
    spawner.mem_guarantee = "1G"
    spawner.allow_privilege_escalation = False
    spawner.image = f"{single['image']['name']}:{single['image']['tag']}"
    storage = single["storage"]
    spawner.storage_pvc_ensure = True
    spawner.storage_capacity = storage["capacity"]
    spawner.storage_access_modes = ["ReadWriteOnce"]
    home = {"name": "volume-{user_server}"}
    claim = {"persistentVolumeClaim": {"claimName": "claim-{user_server}"}}
    spawner.volumes = [{**home, **claim}, *storage["extraVolumes"]]
    spawner.volume_mounts = [{**home, "mountPath": storage["homeMountPath"]}, *storage["extraVolumeMounts"]]
    c.JupyterHub.cookie_secret = bytes(32)
    for name, settings in hub["config"].items():
        c[name].update(settings)
    return c
