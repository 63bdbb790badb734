"""What a finished configuration of JupyterHub allows that it must not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from hub_config.server.weakness import Weakness

CONFIG = "hub_config/server/jupyterhub_config.py"
EVERYBODY = ("allow_all", "any_allow_config", "open_signup", "create_system_users")
ALL_RIGHTS = {"inherit", "self", "all"}
"""Scopes that hand on everything a user may do."""
TRUSTING = ("dummy", "null", "shared-password")


def configuration_weaknesses(c: Any) -> Iterator[Weakness]:
    """Weaknesses of the configuration object `c`."""
    yield from _names(c)
    yield from _logins(c)
    yield from _scopes(c)
    yield from _addresses(c)


def _names(c: Any) -> Iterator[Weakness]:
    host = str(c.JupyterHub.get("subdomain_host", ""))
    if not host:
        yield Weakness(
            "every user's server would share one domain with the Hub, so a page of one could act as another",
            f"{CONFIG}: JupyterHub.subdomain_host",
            "write domain into hub.toml; the configuration makes https://DOMAIN of it",
        )
    elif urlsplit(host).scheme != "https" or not urlsplit(host).hostname:
        yield Weakness(
            f"the Hub's address {host} is not https, so passwords would cross the network in the clear",
            f"{CONFIG}: JupyterHub.subdomain_host",
            "it must be https://DOMAIN",
        )
    url = str(c.JupyterHub.get("db_url", "sqlite:///jupyterhub.sqlite"))
    if not url.startswith("postgresql"):
        yield Weakness(
            "the Hub's database is not PostgreSQL; SQLite locks up when a class logs in at once",
            "hub.toml: databases.hub",
            'write hub = "postgresql+psycopg2:///jupyterhub?host=/run/postgresql" below [databases]',
        )
    elif urlsplit(url).password or "password=" in url:
        yield Weakness(
            "the address of the Hub's database holds a password, which listings and logs would show",
            "hub.toml: databases.hub",
            "use the unix socket with peer authentication, which needs none",
        )


def _logins(c: Any) -> Iterator[Weakness]:
    kind = c.JupyterHub.get("authenticator_class", "pam")
    name = kind if isinstance(kind, str) else kind.__name__
    if any(word in name.lower() for word in TRUSTING):
        yield Weakness(
            f"the authenticator {name} lets in everybody who knows a name",
            f"{CONFIG}: JupyterHub.authenticator_class",
            'write authenticator = "pam", "native" or "lti" into hub.toml',
        )
    for section in sorted(c):
        for key in EVERYBODY:
            if c[section].get(key, False):
                yield Weakness(
                    f"{section}.{key} is on: it lets in people who are not listed",
                    f"{CONFIG}: {section}.{key}",
                    "take it out; people are listed in hub.toml",
                )
        if c[section].get("admin_users"):
            yield Weakness(
                "Hub administrators are set; they hold every right over every server",
                f"{CONFIG}: {section}.admin_users",
                "leave it empty; instructors have a role of their own",
            )
    if c.Authenticator.get("allow_existing_users", True):
        yield Weakness(
            "people who were taken off the lists could still log in",
            f"{CONFIG}: Authenticator.allow_existing_users",
            "set it to False; JupyterHub's own default is True",
        )
    if not c.Authenticator.get("allowed_users"):
        yield Weakness(
            "nobody is listed, so nobody could log in",
            "hub.toml: [people]",
            "list at least one instructor",
        )


def _scopes(c: Any) -> Iterator[Weakness]:
    """`inherit` anywhere: a server or service with it can do whatever its user can."""
    for role in c.JupyterHub.get("load_roles", []):
        yield from _holding(role.get("scopes", []), f"load_roles, the role {role.get('name')}")
    for service in c.JupyterHub.get("services", []):
        what = f"services, {service.get('name')}"
        yield from _holding(service.get("oauth_client_allowed_scopes", []), what)
        if service.get("admin"):
            yield _inheriting(f"the service {service.get('name')} is an administrator", what)
    for section in sorted(c):
        for key in ("server_token_scopes", "oauth_client_allowed_scopes"):
            value = c[section].get(key, [])
            if callable(value):
                yield _inheriting(f"{key} is a function, which cannot be examined", f"{section}.{key}")
            else:
                yield from _holding(value, f"{section}.{key}")


def _holding(scopes: Any, where: str) -> Iterator[Weakness]:
    found = sorted({str(scope).split("!")[0] for scope in scopes} & ALL_RIGHTS)
    for scope in found:
        yield _inheriting(f"the scope {scope} hands on everything a user may do", where)


def _inheriting(what: str, where: str) -> Weakness:
    return Weakness(
        what, f"{CONFIG}: {where}", "name the few scopes that are needed, never one of all rights"
    )


def _addresses(c: Any) -> Iterator[Weakness]:
    given = [
        ("the proxy", "JupyterHub", "bind_url", True),
        ("the Hub's API", "JupyterHub", "hub_bind_url", True),
        ("the proxy's API", "ConfigurableHTTPProxy", "api_url", False),
        ("the proxy", "JupyterHub", "ip", False),
        ("the Hub's API", "JupyterHub", "hub_ip", False),
        ("a user's server", "Spawner", "ip", False),
    ]
    for what, section, key, required in given:
        value = str(c[section].get(key, ""))
        if (value or required) and not _is_loopback(value):
            yield Weakness(
                f"{what} could be reached from other machines, past nginx and its encryption",
                f"{CONFIG}: {section}.{key} is {value or 'not set'}",
                "bind it to 127.0.0.1",
            )


def _is_loopback(value: str) -> bool:
    host = urlsplit(value).hostname if "//" in value else value
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
