"""The Hub in a container: a container for each student, the course and hand-in services beside it.

Settings come from the environment that compose.yaml sets and from the secrets it mounts.
"""

import os
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, os.environ.get("COURSE_CODE", "/srv/code"))

from hub_config.hub import HANDIN, MEMORY, SERVICE, declare_people, first_page

c = get_config()  # noqa: F821 (JupyterHub provides it)
secrets = Path(os.environ.get("COURSE_SECRETS", "/run/secrets"))
people = tomllib.loads(Path(os.environ["COURSE_PEOPLE"]).read_text("utf-8"))
network = os.environ["COURSE_NETWORK"]
domain = os.environ["COURSE_DOMAIN"]


def secret(name: str) -> str:
    """One secret, without the line's end."""
    return (secrets / name).read_text("ascii").strip()


declare_people(c, people["instructors"], people.get("assistants", []), people.get("students", []))
c.JupyterHub.services = [
    {
        "name": name,
        "url": f"http://{name}:{port}",
        "api_token": secret(f"{name}_token"),
        "oauth_no_confirm": True,
        "display": True,
    }
    for name, port in ((SERVICE, 8082), (HANDIN, 8083))
]
c.JupyterHub.services.append(
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
        "display": False,
    }
)

c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
data = os.environ.get("COURSE_HUB_DATA", "/srv/hub/data")
c.JupyterHub.db_url = f"sqlite:///{data}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{data}/cookie_secret"
# with subdomains a student's page is nobody else's neighbour
c.JupyterHub.subdomain_host = f"https://{domain}"
c.JupyterHub.default_url = first_page(f"https://{SERVICE}--service.{domain}/services/{SERVICE}/")
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cookie_host_prefix_enabled = True
c.JupyterHub.tornado_settings = {"cookie_options": {"secure": True, "samesite": "Lax"}}

c.JupyterHub.authenticator_class = "native"
c.NativeAuthenticator.enable_signup = True
c.NativeAuthenticator.open_signup = False
c.NativeAuthenticator.minimum_password_length = 12
c.NativeAuthenticator.check_common_password = True
c.NativeAuthenticator.allowed_failed_logins = 10
c.NativeAuthenticator.seconds_before_next_try = 600

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ["COURSE_STUDENT_IMAGE"]
c.DockerSpawner.network_name = network
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.notebook_dir = "/home/student"
c.DockerSpawner.volumes = {"course-home-{username}": "/home/student"}
c.DockerSpawner.read_only_volumes = {os.environ["COURSE_PUBLISHED_VOLUME"]: "/exchange"}
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
c.Spawner.environment = {
    "COURSE_EXCHANGE": "/exchange",
    "HANDIN_URL": f"http://{HANDIN}:8083/services/{HANDIN}",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
