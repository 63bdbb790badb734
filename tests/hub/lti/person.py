"""Somebody with a browser, step by step, so that a test can spoil any of the steps."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.hub.lti.platform import Platform

STATE, NONCE = "__Host-lti13authenticator-state", "__Host-lti13authenticator-nonce-state"


class Person(requests.Session):
    """Cookies of one browser. Like a real one it takes localhost for safe enough for Secure cookies."""

    def __init__(self, hub: str, platform: Platform) -> None:
        super().__init__()
        self.hub, self.platform = hub, platform

    def request(self, method: str, url: str, **named: Any) -> requests.Response:  # type: ignore[override]
        """Send every cookie; they are all the Hub's. Redirects are for the test to look at."""
        cookie = "; ".join(f"{one.name}={one.value}" for one in self.cookies)
        headers = {**(named.pop("headers", None) or {}), **({"Cookie": cookie} if cookie else {})}
        return super().request(method, url, headers=headers, **{**named, "allow_redirects": False})

    def click(self, **changes: str) -> requests.Response:
        """The platform's link: the tool answers with the way to the platform's login."""
        request = self.platform.start_request(**changes)
        return self.post(f"{self.hub}/hub/lti13/oauth_login", data=request)

    def asked(self, **changes: str) -> dict[str, str]:
        """What the tool asks the platform after a click: state, nonce and so on."""
        answer = self.click(**changes)
        assert answer.status_code == 302, answer.text
        parts = urlsplit(answer.headers["Location"])
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.platform.url}/authorize"
        return {name: values[0] for name, values in parse_qs(parts.query).items()}

    def arrive(self, token: str, state: str) -> requests.Response:
        """The form that the platform's page sends."""
        form = {"id_token": token, "state": state}
        headers = {"Origin": self.platform.url, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        url = f"{self.hub}/hub/lti13/oauth_callback"
        return self.post(url, data=form, headers=headers)

    def launch(self, sign: dict[str, Any] | None = None, **changes: Any) -> requests.Response:
        """All of it; `sign` says how the token is signed, `changes` what it says."""
        asked = self.asked()
        claims = self.platform.claims(**{"nonce": asked["nonce"], **changes})
        return self.arrive(self.platform.sign(claims, **(sign or {})), asked["state"])

    def me(self) -> dict[str, Any]:
        """What the Hub knows of this browser's user; nothing for a stranger."""
        answer = self.get(f"{self.hub}/hub/api/user")
        return dict(answer.json()) if answer.ok else {}


def cookies(answer: requests.Response) -> SimpleCookie:
    """Every cookie that one answer sets, with its attributes."""
    found = SimpleCookie()
    for line in answer.raw.headers.getlist("Set-Cookie"):
        found.load(line)
    return found


def refused(answer: requests.Response, status: int, *words: str) -> None:
    """The answer is a page that says why, and sets no login."""
    assert answer.status_code == status, answer.text
    assert "Not logged in" in answer.text and "You were not logged in" in answer.text
    for word in words:
        assert word in answer.text, answer.text
    assert "__Host-jupyterhub-hub-login" not in cookies(answer)
