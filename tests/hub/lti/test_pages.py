"""What do the pages around a login say, to a student, to an administrator, and to somebody who must wait?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.hub.lti.person import Person, refused
from tests.hub.lti.platform import Platform
from tests.hub.lti.small_hub import SmallHub

Made = Callable[[], Person]


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"iss": ""}, 400, "by a click in your learning platform"),
        ({"iss": "https://evil.example"}, 403, "is not this course"),
        ({"iss": "<script>alert(1)</script>"}, 403, "is not this course"),
        ({"client_id": "another"}, 403, "client ID another"),
        ({"client_id": ""}, 403, "client ID (none)"),
    ],
)
def test_click_elsewhere_is_refused(
    lti_person: Made, changes: dict[str, str], status: int, says: str
) -> None:
    answer = lti_person().click(**changes)
    refused(answer, status, says)
    assert "<script>alert" not in answer.text


def test_who_comes_without_the_platform_is_told_where_to_click(lti_hub: SmallHub) -> None:
    page = requests.get(f"{lti_hub.url}/hub/", headers={"Accept": "text/html"})
    assert (
        page.url.startswith(f"{lti_hub.url}/hub/login")
        and "Open the course in your learning platform" in page.text
    )
    assert "<form" not in page.text
    assert requests.post(f"{lti_hub.url}/hub/login", {"username": "ines", "password": ""}).status_code in (
        403,
        405,
    )
    assert requests.get(f"{lti_hub.url}/hub/lti13/oauth_callback").status_code == 405


def test_configuration_for_canvas_is_complete(lti_hub: SmallHub) -> None:
    answer = requests.get(f"{lti_hub.url}/hub/lti13/config")
    found = answer.json()
    assert answer.headers["Content-Type"].startswith("application/json")
    assert found["target_link_uri"] == f"{lti_hub.url}/hub/"
    assert found["oidc_initiation_url"] == f"{lti_hub.url}/hub/lti13/oauth_login"
    assert found["scopes"] == []
    assert (
        set(found["public_jwk"]) >= {"kty", "e", "n", "kid", "alg", "use"} and "d" not in found["public_jwk"]
    )
    extension = found["extensions"][0]
    assert extension["privacy_level"] == "email_only"
    assert extension["settings"]["placements"][0]["windowTarget"] == "_blank"


def test_others_are_served_while_the_platform_is_slow(
    lti_person: Made, lti_hub: SmallHub, lti_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub waits for the platform's keys beside its work, not instead of it."""
    asked_for, answered = threading.Event(), threading.Event()
    real = Platform.answer

    def slow(self: Platform, request: Any) -> None:
        if request.path == "/jwks":
            asked_for.set()
            answered.wait(20)
        real(self, request)

    ada, answers = lti_person(), []
    asked = ada.asked()
    token = lti_platform.sign(lti_platform.claims(asked["nonce"]))
    monkeypatch.setattr(Platform, "answer", slow)
    launch = threading.Thread(target=lambda: answers.append(ada.arrive(token, asked["state"])))
    launch.start()
    try:
        assert asked_for.wait(10)
        assert requests.get(f"{lti_hub.url}/hub/health", timeout=5).ok
    finally:
        answered.set()
        launch.join(20)
    assert answers[0].status_code == 302
