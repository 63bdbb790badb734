"""The Hub in a container: a container for each student, the course and hand-in services beside it.

Settings come from the environment that compose.yaml sets and from the secrets it mounts.
"""

import os
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, os.environ.get("COURSE_CODE", "/srv/code"))

from hub_config import containers
from hub_config.hub import HANDIN, MEMORY, SERVICE, declare_people, use_templates

c = get_config()  # noqa: F821 (JupyterHub provides it)
secrets = Path(os.environ.get("COURSE_SECRETS", "/run/secrets"))
people_file = Path(os.environ["COURSE_PEOPLE"])
people = tomllib.loads(people_file.read_text("utf-8"))
network = os.environ["COURSE_NETWORK"]
domain = os.environ["COURSE_DOMAIN"]


def secret(name: str) -> str:
    """One secret, without the line's end."""
    return (secrets / name).read_text("ascii").strip()


declare_people(c, people["instructors"], people.get("assistants", []), people.get("students", []))
use_templates(c)
containers.declare_services(c, {SERVICE: SERVICE, HANDIN: HANDIN}, secret)
containers.use_subdomains(c, domain)
containers.declare_login(c, people, people_file, domain)

c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
data = os.environ.get("COURSE_HUB_DATA", "/srv/hub/data")
c.JupyterHub.db_url = f"sqlite:///{data}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{data}/cookie_secret"
c.JupyterHub.cleanup_servers = False

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ["COURSE_STUDENT_IMAGE"]
c.DockerSpawner.network_name = network
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.notebook_dir = containers.HOME
c.DockerSpawner.volumes = {"course-home-{username}": containers.HOME}
c.DockerSpawner.read_only_volumes = {os.environ["COURSE_PUBLISHED_VOLUME"]: containers.EXCHANGE}
c.DockerSpawner.extra_host_config = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 512,
    "memswap_limit": MEMORY.lower(),
}
c.Spawner.mem_limit = MEMORY
c.Spawner.cpu_limit = 2.0
c.Spawner.default_url = "/lab"
c.Spawner.env_keep = []
c.Spawner.environment = containers.server_environment(HANDIN)
