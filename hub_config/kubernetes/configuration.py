"""The Hub's rules on Kubernetes. values.yaml calls `configure` after Zero to JupyterHub's own configuration.

What protects students from each other is set here, whatever the chart's values say. The students' image, their
storage and the mount of published labs are the chart's, in values.yaml.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hub_config import containers
from hub_config.hub import MEMORY, SERVICE, declare_people, use_templates
from hub_config.site import HANDIN

HOSTS = {SERVICE: f"{SERVICE}.grading.svc", HANDIN: HANDIN}
"""Where the Hub and its proxy find the services: the course service is in a namespace of its own."""
SECRETS_VARIABLE = "COURSE_SECRETS"
"""Environment variable with the folder of the services' tokens."""
STUDENT = 1000
"""Account and group of the image `student`."""


def configure(c: Any, custom: dict[str, Any]) -> None:
    """Declare people, services, logins and students' pods from the table `custom` of values.yaml.

    Raises HubError when the table `lti` in it cannot be used.
    """
    people, domain = custom["people"], custom["domain"]
    declare_people(c, people["instructors"], people.get("assistants") or [], people.get("students") or [])
    use_templates(c)
    containers.declare_services(c, HOSTS, _secret)
    containers.use_subdomains(c, domain)
    # as the chart has it: who starts a server sees at once how far it is
    c.JupyterHub.tornado_settings["slow_spawn_timeout"] = 0
    containers.declare_login(c, custom, Path("values.yaml (custom)"), domain)
    _servers(c.KubeSpawner)
    _walls(c.KubeSpawner)


def _secret(name: str) -> str:
    folder = Path(os.environ.get(SECRETS_VARIABLE, "/run/course-tokens"))
    return (folder / name).read_text("ascii").strip()


def _servers(spawner: Any) -> None:
    """What a student's pod runs, and what it may use."""
    spawner.cmd = ["jupyterhub-singleuser"]
    spawner.default_url = "/lab"
    spawner.notebook_dir = containers.HOME
    # nothing of the Hub's own environment reaches a student's server
    spawner.env_keep = []
    spawner.environment = containers.server_environment(HANDIN)
    # what is promised is there: the kernel ends a pod over its limit, and a node is never sold twice
    spawner.mem_guarantee = MEMORY
    spawner.mem_limit = MEMORY
    spawner.cpu_guarantee = 0.5
    spawner.cpu_limit = 2.0
    spawner.extra_resource_limits = {"ephemeral-storage": "4Gi"}
    # the first start on a node pulls the image
    spawner.start_timeout = 600
    spawner.http_timeout = 90


def _walls(spawner: Any) -> None:
    """What a student's pod may not; the namespace enforces the Pod Security Standard `restricted` beside it."""
    spawner.uid = STUDENT
    spawner.gid = STUDENT
    spawner.fs_gid = STUDENT
    spawner.service_account = None
    spawner.automount_service_account_token = False
    spawner.privileged = False
    spawner.allow_privilege_escalation = False
    spawner.container_security_context = {"capabilities": {"drop": ["ALL"]}}
    spawner.pod_security_context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    # without it every pod is told the addresses of all services of the namespace
    spawner.extra_pod_config = {"enableServiceLinks": False}
    # network.yaml knows pods by this label
    spawner.extra_labels = {"course-part": "student"}
    spawner.init_containers = []
    spawner.extra_containers = []
