"""Everything about the Hub of one machine that `hub_config.hub` does not already say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_config.hub import SERVICE, configure, first_page
from hub_config.lti import configure_lti
from hub_config.server.secret_files import COOKIE, PROXY
from hub_config.server.settings import Settings
from hub_config.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
"""The administrator's checkout, which the Hub itself runs from. The course's account cannot write to it."""
LOOPBACK = "127.0.0.1"
SLICE = "course-servers.slice"
DAY = 24 * 3600
LOGIN_DAYS = 1
"""How long a login and the tokens in a browser's cookies hold."""
PASSWORD_LENGTH = 12
ROUTES_SECONDS = 15
"""How long a proxy that was started again may be without the routes to servers and services."""
FAILED_LOGINS = 10
LOCKED_SECONDS = 600


def site_of(settings: Settings, root: Path = ROOT) -> Site:
    """The site as the other deployments describe theirs."""
    people, course = settings.people, settings.course
    return Site(
        students_environment=str((root / ".venv").resolve()),
        staff_environment=str(course.checkout / ".venv-staff"),
        checkout=str(course.checkout),
        instance=str(course.instance),
        exchange=course.exchange,
        handin=settings.handin.folder,
        jupyter=settings.paths.jupyter,
        course_account=course.account,
        handin_account=settings.handin.account,
        instructors=people.instructors,
        assistants=people.assistants,
        students=people.students,
        service_port=settings.ports.course,
        handin_port=settings.ports.handin,
    )


def fill(c: Any, settings: Settings) -> None:
    """Set the whole configuration of the Hub. Reads no secret and changes nothing on the machine."""
    configure(c, site_of(settings), settings.servers.idle_minutes * 60)
    _addresses(c, settings)
    _logins(c, settings)
    _browser(c)
    _servers(c, settings)


def _addresses(c: Any, settings: Settings) -> None:
    ports, paths = settings.ports, settings.paths
    c.JupyterHub.subdomain_host = f"https://{settings.domain}"
    c.JupyterHub.bind_url = f"http://{LOOPBACK}:{ports.proxy}"
    c.JupyterHub.hub_bind_url = f"http://{LOOPBACK}:{ports.hub}"
    c.JupyterHub.db_url = settings.databases.hub
    c.JupyterHub.cookie_secret_file = f"{paths.secrets}/{COOKIE}"
    c.JupyterHub.proxy_class = "hub_config.server.proxy_token.ProxyWithTokenFile"
    c.ProxyWithTokenFile.token_file = f"{paths.secrets}/{PROXY}"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://{LOOPBACK}:{ports.proxy_api}"
    # with subdomains a service has a name of its own
    c.JupyterHub.default_url = first_page(f"https://{SERVICE}--service.{settings.domain}/services/{SERVICE}/")
    # the Hub compares the proxy's routes with its own at this pace, and a new proxy has none; its default is 5 minutes
    c.JupyterHub.last_activity_interval = ROUTES_SECONDS
    # a restarted Hub finds its servers again
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.log_level = "INFO"


def _logins(c: Any, settings: Settings) -> None:
    c.Authenticator.admin_users = set()
    c.Authenticator.allow_all = False
    if settings.authenticator == "pam":
        c.JupyterHub.authenticator_class = "pam"
        c.PAMAuthenticator.open_sessions = False
        c.LocalAuthenticator.create_system_users = False
        return
    if settings.lti is not None:
        configure_lti(c, settings.lti, f"https://{settings.domain}")
        return
    c.JupyterHub.authenticator_class = "hub_config.server.native.ApprovedSignUps"
    c.NativeAuthenticator.enable_signup = True
    c.NativeAuthenticator.open_signup = False
    c.NativeAuthenticator.minimum_password_length = PASSWORD_LENGTH
    c.NativeAuthenticator.check_common_password = True
    c.NativeAuthenticator.allowed_failed_logins = FAILED_LOGINS
    c.NativeAuthenticator.seconds_before_next_try = LOCKED_SECONDS
    c.ApprovedSignUps.instructors = set(settings.people.instructors)


def _browser(c: Any) -> None:
    """Cookies. JupyterHub itself makes those that log somebody in httponly; Lab must read its `_xsrf`."""
    c.JupyterHub.cookie_host_prefix_enabled = True  # a student's subdomain cannot set them for the Hub
    c.JupyterHub.cookie_max_age_days = LOGIN_DAYS
    c.JupyterHub.oauth_token_expires_in = LOGIN_DAYS * DAY
    c.JupyterHub.token_expires_in_max_seconds = 30 * DAY
    c.JupyterHub.oauth_require_pkce = True
    c.JupyterHub.tornado_settings = {
        "cookie_options": {"secure": True, "samesite": "Lax"},
        "xsrf_cookie_kwargs": {"httponly": True, "secure": True, "samesite": "Lax"},
        "headers": {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        },
    }


def _servers(c: Any, settings: Settings) -> None:
    servers, paths, course = settings.servers, settings.paths, settings.course
    c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
    c.Spawner.mem_limit = servers.memory
    c.Spawner.cpu_limit = servers.cpu
    c.SystemdSpawner.default_shell = "/bin/bash"
    c.SystemdSpawner.slice = SLICE
    c.SystemdSpawner.isolate_tmp = True
    c.SystemdSpawner.isolate_devices = True
    c.SystemdSpawner.disable_user_sudo = True
    # everything but this is read-only by ProtectSystem below; `readonly_paths` with / would take in /dev/shm,
    # which torch's workers write to
    c.SystemdSpawner.readwrite_paths = [f"{paths.homes}/{{USERNAME}}"]
    kept = [course.home, settings.handin.folder, settings.backup.folder]
    hidden = [paths.secrets, *kept, paths.state, str(settings.file)]
    # the spawner formats each value, so it must be one text, without braces
    c.SystemdSpawner.unit_extra_properties = {
        "UMask": "0077",
        "TasksMax": str(servers.processes),
        "MemorySwapMax": "0",
        "LimitCORE": "0",
        "ProtectSystem": "strict",
        "ProtectProc": "invisible",
        "ProtectKernelTunables": "yes",
        "ProtectKernelModules": "yes",
        "ProtectKernelLogs": "yes",
        "ProtectControlGroups": "yes",
        "ProtectClock": "yes",
        "ProtectHostname": "yes",
        "RestrictNamespaces": "yes",
        "RestrictRealtime": "yes",
        "LockPersonality": "yes",
        "SystemCallArchitectures": "native",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "CapabilityBoundingSet": "",
        "InaccessiblePaths": " ".join(f"-{path}" for path in hidden),
    }
