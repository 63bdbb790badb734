"""What a Hub in a container sets, whether Docker or Kubernetes starts the others: services, addresses, logging in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_config.hub import IDLE_SECONDS, SERVICE, first_page
from hub_config.lti import configure_lti, read_lti
from hub_config.site import HANDIN

HOME = "/home/student"
"""A student's home in the image `student`."""
EXCHANGE = "/exchange"
"""Where a container sees the published labs."""
PORTS = {SERVICE: 8082, HANDIN: 8083}
"""What the services beside the Hub listen on."""


def declare_services(c: Any, hosts: dict[str, str], token: Callable[[str], str]) -> None:
    """The services at these hosts, each known by its token, and the culler, which the Hub starts itself."""
    c.JupyterHub.services = [
        {
            "name": name,
            "url": f"http://{host}:{PORTS[name]}",
            "api_token": token(f"{name}_token"),
            "oauth_no_confirm": True,
            "display": True,
        }
        for name, host in hosts.items()
    ]
    c.JupyterHub.services.append(
        {
            "name": "idle-culler",
            "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE_SECONDS}"],
            "display": False,
        }
    )


def use_subdomains(c: Any, domain: str) -> None:
    """With subdomains a student's page is nobody else's neighbour; something in front ends TLS for all of them."""
    c.JupyterHub.subdomain_host = f"https://{domain}"
    c.JupyterHub.default_url = first_page(f"https://{SERVICE}--service.{domain}/services/{SERVICE}/")
    c.JupyterHub.cookie_host_prefix_enabled = True
    c.JupyterHub.tornado_settings = {"cookie_options": {"secure": True, "samesite": "Lax"}}


def declare_login(c: Any, settings: dict[str, Any], file: Path, domain: str) -> None:
    """By the platform of the table [lti], where `settings`, read from `file`, has one; else by a password.

    Raises HubError when the table cannot be used.
    """
    lti = read_lti(settings, file)
    if lti is not None:
        configure_lti(c, lti, f"https://{domain}")
        return
    # people choose a password at the Hub; an instructor lets them in
    c.JupyterHub.authenticator_class = "native"
    c.NativeAuthenticator.enable_signup = True
    c.NativeAuthenticator.open_signup = False
    c.NativeAuthenticator.minimum_password_length = 12
    c.NativeAuthenticator.check_common_password = True
    c.NativeAuthenticator.allowed_failed_logins = 10
    c.NativeAuthenticator.seconds_before_next_try = 600


def server_environment(handin_host: str) -> dict[str, str]:
    """Environment of a student's server; its image sets the rest."""
    return {
        "COURSE_EXCHANGE": EXCHANGE,
        "HANDIN_URL": f"http://{handin_host}:{PORTS[HANDIN]}/services/{HANDIN}",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
