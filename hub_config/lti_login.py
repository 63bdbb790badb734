"""The login from an LTI platform: jupyterhub-ltiauthenticator, made stricter where a course with grades needs it.

What its own classes check stays as it is: signature, algorithm, issuer, audience, expiry, age, version, state and
nonce. Each override below says what would happen without it.
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import rsa
from jupyterhub.handlers import BaseHandler
from jwt.algorithms import RSAAlgorithm
from ltiauthenticator.lti13.auth import LTI13Authenticator  # type: ignore[import-untyped]
from ltiauthenticator.lti13.error import ValidationError  # type: ignore[import-untyped]
from ltiauthenticator.lti13.handlers import (  # type: ignore[import-untyped]
    LTI13CallbackHandler,
    LTI13LoginInitHandler,
)
from tornado import web
from traitlets import Set, Unicode

from hub_config.lti import CLOCK_SECONDS, account_name

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
PREFIX = "__Host-"
"""With it a browser takes a cookie from the Hub's own name alone, not from a student's page on a name below it."""
LAUNCH_SECONDS = 600
AGAIN = "Go back to your learning platform and click on the course's link again."
ASK = "If it happens again, send this page to your instructor."
CHECKS = ThreadPoolExecutor(4, "lti")
PRIVACY = {"email": "email_only", "lis_person_sourcedid": "name_only"}
"""What Canvas must send for each; nothing about the person where a custom field or nothing of Canvas is used."""


def refuse(status: int, why: str, remedy: str = f"{AGAIN} {ASK}") -> NoReturn:
    """End a request with a page that a student can read."""
    raise web.HTTPError(status, f"You were not logged in: {why}. {remedy}", reason="Not logged in")


class LoginStart(LTI13LoginInitHandler):  # type: ignore[misc]
    """The platform says that somebody comes; the browser is sent back to it for a signed token."""

    def post(self) -> None:
        """Refuse other platforms here: further on they would show an error page of the platform, or none."""
        login = self.authenticator
        issuer, client = self.get_argument("iss", ""), self.get_argument("client_id", "")
        if not issuer:
            refuse(400, "this page opens by a click in your learning platform only")
        if issuer != login.issuer:
            refuse(403, f"the platform {issuer} is not this course's, which is {login.issuer}")
        if client not in login.client_id:
            refuse(
                403,
                f"the platform calls this course by the client ID {client or '(none)'}, which is not listed",
            )
        super().post()

    get = post

    def get_redirect_uri(self) -> str:
        """Where the token goes. Without this it would follow the request's Host and X-Forwarded-Proto."""
        return f"{self.authenticator.address}{self.authenticator.callback_url(self.hub.server.base_url)}"

    def _set_oauth_cookie(self, key: str, value: str) -> None:
        """State and nonce alone: they must come back with a form that the platform's page sends.

        The Hub's `cookie_options`, Lax, would keep a browser from sending them, and every launch would fail.
        """
        self._set_cookie(
            PREFIX + key,
            value,
            expires_days=None,
            max_age=LAUNCH_SECONDS,
            httponly=True,
            encrypted=True,
            secure=True,
            samesite="None",
        )


class Launch(LTI13CallbackHandler):  # type: ignore[misc]
    """The platform's token arrives."""

    async def post(self) -> None:
        """Check the token, then let its person in.

        The check fetches the platform's keys and waits for them: in a thread, so that nobody else's page waits too.
        """
        check = self.decode_and_validate_launch_request
        try:
            token = await asyncio.get_running_loop().run_in_executor(CHECKS, check)
        except ValidationError as error:
            refuse(400, f"the platform's token was refused ({error})")
        except web.HTTPError as error:
            refuse(error.status_code, f"{error.log_message}", f"{AGAIN} Allow cookies for this site. {ASK}")
        login = self.authenticator
        if not login.use_once(token):
            refuse(400, "this click was already used", AGAIN)
        user = await self.login_user(token)
        if user is None:
            name = login.get_username(token)
            refuse(403, f"{name} is not in this course's list", "Ask your instructor to add you.")
        await self.redirect_to_next_url(user)

    def _get_oauth_cookie(self, name: str) -> str:
        return str(super()._get_oauth_cookie(PREFIX + name))


class ToolConfiguration(BaseHandler):  # type: ignore[misc]
    """`/hub/lti13/config`: what Canvas reads to register the course."""

    def get(self) -> None:
        """Public: it holds addresses and a key that opens nothing."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self.authenticator.tool_configuration(self.hub.base_url), indent=1))


class PlatformLogin(LTI13Authenticator):  # type: ignore[misc]
    """People of one platform, by name, if they are listed. Their roles there mean nothing here."""

    address = Unicode(help="The Hub's own address, like https://course.example.edu").tag(config=True)
    mail_domain = Unicode(help="What must follow the @ in a name and is taken off").tag(config=True)
    deployment_ids = Set(Unicode(), help="Deployments that are let in; all, if empty").tag(config=True)

    login_handler = LoginStart
    callback_handler = Launch
    config_handler = ToolConfiguration

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self._used: dict[str, float] = {}

    def get_custom_html(self, base_url: str) -> str:
        """The page of somebody who comes without the platform; there is no form to fill in."""
        return (
            '<div class="text-center"><h1>Model compression</h1><p>Open the course in your learning platform '
            "and click on its link there. It logs you in; there is no password here.</p></div>"
        )

    async def authenticate(self, handler: Any, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """The name alone: neither the token nor roles are kept. Raises HTTPError 403 with what to do."""
        token = data or {}
        deployment = token.get(f"{CLAIM}deployment_id")
        if self.deployment_ids and deployment not in self.deployment_ids:
            refuse(403, f"the link belongs to the deployment {deployment}, which is not this course's")
        return {"name": self.get_username(token)}

    def get_username(self, token: dict[str, Any]) -> str:
        """The account's name. ltiauthenticator would take `sub`, a number or a code, where the claim is missing."""
        value = self._word_for_the_person(token)
        name = account_name(value, self.mail_domain)
        if name is None:
            self.log.warning("The platform's %s %r is no account's name", self.username_key, value)
            said = f"sent {value!r}" if value else "sent nothing"
            refuse(
                403,
                f"for your name ({self.username_key}) the platform {said}, which cannot be an account of this course",
                "Send this page to your instructor.",
            )
        return name

    def _word_for_the_person(self, token: dict[str, Any]) -> Any:
        place, _, key = self.username_key.partition("_")
        table = token if place == "email" else token.get(CLAIM + place)
        return table.get(key or place) if isinstance(table, dict) else None

    def use_once(self, token: dict[str, Any]) -> bool:
        """Whether this token is new. Cookies bind it to a browser, but whoever copied both could use it again."""
        now = time.time()
        self._used = {nonce: until for nonce, until in self._used.items() if until > now}
        if token["nonce"] in self._used:
            return False
        self._used[token["nonce"]] = float(token["exp"]) + CLOCK_SECONDS
        return True

    def tool_configuration(self, base_url: str) -> dict[str, Any]:
        """In the form of Canvas, without any of the rights over its data that ltiauthenticator asks for."""
        start = f"{self.address}{base_url}"
        kind = self.username_key
        placement: dict[str, Any] = {
            "placement": "course_navigation",
            "message_type": "LtiResourceLinkRequest",
            "target_link_uri": start,
            "windowTarget": "_blank",
        }
        found: dict[str, Any] = {
            "title": self.tool_name,
            "description": self.tool_description,
            "target_link_uri": start,
            "oidc_initiation_url": f"{self.address}{self.login_url(base_url)}",
            "scopes": [],
            "public_jwk": self._key_for_the_form,
            "extensions": [
                {
                    "platform": "canvas.instructure.com",
                    "privacy_level": PRIVACY.get(kind, "anonymous"),
                    "settings": {"platform": "canvas.instructure.com", "placements": [placement]},
                }
            ],
        }
        if kind.startswith("custom_"):
            found["custom_fields"] = {kind.removeprefix("custom_"): "$Canvas.user.loginId"}
        return found

    @cached_property
    def _key_for_the_form(self) -> dict[str, Any]:
        """Canvas takes no tool without a key. The course signs nothing, so the private half is thrown away at once."""
        public = rsa.generate_private_key(65537, 2048).public_key()
        return {**RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "unused", "alg": "RS256", "use": "sig"}
