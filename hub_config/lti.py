"""LTI 1.3: people come from Canvas or Moodle with a click. Settings, and what they mean for the Hub.

A deployment reads its table [lti] with `read_lti` (or as a part of its own settings) and calls `configure_lti`.
The login itself is in `lti_login`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub_config.errors import HubError
from hub_config.tables import DOMAIN, NAME, Rule, fill, pattern

CLOCK_SECONDS = 30
"""How far the platform's clock may be off."""


@dataclass(frozen=True)
class Lti:
    """One platform. `username` says which of its words about a person is the account's name."""

    issuer: str
    client_ids: list[str]
    authorize_url: str
    jwks_url: str
    username: str
    mail_domain: str = ""
    deployment_ids: list[str] = field(default_factory=list)


def _is_https(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:  # like https://[
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment


_https = Rule(
    _is_https, "a whole address that begins with https://; the platform shows it when a tool is registered"
)
_given = Rule(lambda value: bool(value.strip()), "it is empty; copy it from the platform")
RULES: dict[str, Rule] = {
    "lti.issuer": Rule(
        lambda value: _is_https(value) and not urlsplit(value).query,
        "an address that begins with https://, letter for letter as the platform shows it",
    ),
    "lti.client_ids": _given,
    "lti.authorize_url": _https,
    "lti.jwks_url": _https,
    "lti.username": pattern(
        re.compile(r"email|lis_person_sourcedid|ext_user_username|custom_[A-Za-z0-9_]+"),
        'one of "email", "lis_person_sourcedid", "ext_user_username" (Moodle), or "custom_" with the name of a '
        "custom field; docs/lti.md says which is safe where",
    ),
    "lti.mail_domain": Rule(
        lambda value: value == "" or DOMAIN.fullmatch(value) is not None,
        "what follows the @, like example.edu, in small letters",
    ),
    "lti.deployment_ids": _given,
}


def examine(lti: Lti, file: Path) -> None:
    """What keys say together. Raises HubError."""
    if not lti.client_ids:
        raise HubError(f"{file}: lti.client_ids is empty: a token for any other tool would open the Hub")
    if lti.username == "email" and not lti.mail_domain:
        raise HubError(
            f'{file}: lti.username = "email" needs lti.mail_domain, like "example.edu": '
            "without it ada@anywhere.example would be ada"
        )


def read_lti(content: dict[str, Any], file: Path) -> Lti | None:
    """The table [lti] of a file that was read; None where there is none. Raises HubError."""
    if "lti" not in content:
        return None
    table = content["lti"]
    if not isinstance(table, dict):
        raise HubError(f"{file}: lti must be a table: a line [lti] with its keys below it")
    lti: Lti = fill(Lti, table, file, RULES, "lti.")
    examine(lti, file)
    return lti


def configure_lti(c: Any, lti: Lti, address: str) -> None:
    """Let people in who come from the platform; `address` is the Hub's own, like https://course.example.edu.

    Who may come, and who is staff, stays with the lists of `hub_config.hub.declare_people`.
    """
    c.JupyterHub.authenticator_class = "hub_config.lti_login.PlatformLogin"
    login = c.PlatformLogin
    login.address = address
    login.issuer = lti.issuer
    login.client_id = set(lti.client_ids)
    login.authorize_url = lti.authorize_url
    login.jwks_endpoint = lti.jwks_url
    login.username_key = lti.username
    login.mail_domain = lti.mail_domain
    login.deployment_ids = set(lti.deployment_ids)
    login.tool_name = "Model compression"
    login.tool_description = "The labs of the course, in JupyterLab"
    # what a platform says about roles is never asked for
    login.manage_groups = False
    login.manage_roles = False
    c.LTI13LaunchValidator.time_leeway = CLOCK_SECONDS


def account_name(value: object, mail_domain: str) -> str | None:
    """The account that a platform's word for a person stands for; None where it stands for none.

    Capitals of ASCII count as small letters, as they do in mail addresses and in both platforms' login names.
    No other letter is turned into one: the Kelvin sign in lower case is a k.
    """
    if not isinstance(value, str) or not value.isascii():
        return None
    name = value.lower()
    if mail_domain:
        name, _, domain = name.partition("@")
        if domain != mail_domain:
            return None
    return name if NAME.fullmatch(name) else None
