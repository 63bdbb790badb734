"""The Hub of the embedded default. Started by `make hub`, which writes the files named here."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from hub_config.hub import configure
from hub_config.limited_spawner import LimitedSpawner, SharedAccountSpawner
from hub_config.local.settings import Settings
from hub_config.site import SITE_VARIABLE, Site

c = get_config()  # noqa: F821 (JupyterHub provides it)
site = Site.read(Path(os.environ[SITE_VARIABLE]))
settings = Settings.read(Path(os.environ[SITE_VARIABLE]).with_name("settings.json"))
state = Path(os.environ[SITE_VARIABLE]).parent
configure(c, site)
for service in c.JupyterHub.services:
    # not into the Hub's log, which the service's account would then hold open
    script = f'umask 077; exec "$@" > "$HOME/{service["name"]}.log" 2>&1'
    service["command"] = ["/bin/sh", "-c", script, "sh", *service["command"]]

c.JupyterHub.bind_url = f"http://127.0.0.1:{settings.port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.JupyterHub.cleanup_servers = True
c.JupyterHub.log_level = "INFO"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_port}"
c.ConfigurableHTTPProxy.command = settings.proxy_command
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.Spawner.interrupt_timeout = 3
c.Spawner.term_timeout = 2
c.Spawner.kill_timeout = 1

if site.course_account:
    c.JupyterHub.authenticator_class = "pam"
    c.PAMAuthenticator.open_sessions = False
    c.JupyterHub.spawner_class = LimitedSpawner
else:
    c.JupyterHub.authenticator_class = "dummy"
    c.DummyAuthenticator.password = settings.password
    c.JupyterHub.spawner_class = SharedAccountSpawner
    c.SimpleLocalProcessSpawner.home_dir_template = f"{settings.homes}/{{username}}"
    c.SharedAccountSpawner.home_dir_template = f"{settings.homes}/{{username}}"
    c.JupyterHub.template_vars = {
        "announcement": "For trying out only: every user of this Hub shares one account of this machine."
    }
