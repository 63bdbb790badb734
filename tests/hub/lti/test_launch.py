"""Does a click on the platform log in the right person, and nothing else anybody?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.hub.lti.person import NONCE, STATE, Person, cookies, refused
from tests.hub.lti.platform import CLAIM, CLIENT, ROLE, Platform
from tests.hub.lti.small_hub import SmallHub

Made = Callable[[], Person]


def test_right_launch_logs_in_its_person(lti_person: Made) -> None:
    ada = lti_person()
    answer = ada.launch()
    assert (answer.status_code, answer.headers["Location"]) == (302, "/hub/")
    assert ada.me()["name"] == "ada"
    assert ada.me()["groups"] == ["students"] and not ada.me()["admin"]


def test_each_is_sent_to_their_first_page(
    lti_person: Made, lti_platform: Platform, lti_hub: SmallHub
) -> None:
    """Staff to the course service, students to their server, also where the link leads to the bare address."""
    for name, first in (("ada", "/hub/spawn"), ("tomas", "/services/course/")):
        lti_platform.person = {"email": f"{name}@example.edu"}
        one = lti_person()
        one.launch()
        assert one.get(f"{lti_hub.url}/hub/").headers["Location"] == first
        two = lti_person()
        asked = two.asked(target_link_uri=f"{lti_hub.url}/hub")
        answer = two.arrive(lti_platform.sign(lti_platform.claims(asked["nonce"])), asked["state"])
        assert answer.headers["Location"] == first


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("{hub}/hub/user-redirect/lab/tree/Lab-3.1", "/hub/user-redirect/lab/tree/Lab-3.1"),
        ("https://evil.example/steal", "/steal"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/%5Cevil.example"),
    ],
)
def test_link_leads_to_pages_of_the_hub_only(
    lti_person: Made, lti_platform: Platform, lti_hub: SmallHub, target: str, leads_to: str
) -> None:
    ada = lti_person()
    asked = ada.asked(target_link_uri=target.format(hub=lti_hub.url))
    answer = ada.arrive(lti_platform.sign(lti_platform.claims(asked["nonce"])), asked["state"])
    assert answer.headers["Location"] == leads_to


def test_tool_asks_with_its_own_address(lti_person: Made, lti_hub: SmallHub, lti_platform: Platform) -> None:
    """Whatever Host and forwarding headers say, the token goes to the registered address."""
    url = f"{lti_hub.url}/hub/lti13/oauth_login"
    headers = {"Host": "ada.course.test", "X-Forwarded-Proto": "http", "Forwarded": "proto=http"}
    answer = lti_person().post(url, lti_platform.start_request(), headers=headers)
    assert (
        f"redirect_uri={lti_hub.url}/hub/lti13/oauth_callback".replace(":", "%3A").replace("/", "%2F")
        in (answer.headers["Location"])
    )


# what a token says wrong, and what the page says about it
WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "audience": ({"aud": "another-tool"}, 400, "Audience"),
    "audience of several without azp": ({"aud": [CLIENT, "another-tool"]}, 400, "azp"),
    "issuer": ({"iss": "https://evil.example"}, 400, "issuer"),
    "expired": ({"exp": int(time.time()) - 3600}, 400, "expired"),
    "no expiry": ({"exp": None}, 400, "exp"),
    "old": ({"iat": int(time.time()) - 3600}, 400, "too long ago"),
    "from the future": ({"iat": int(time.time()) + 3600}, 400, "not yet valid"),
    "nonce of another launch": ({"nonce": "f" * 64}, 400, "nonce"),
    "no nonce": ({"nonce": None}, 400, "nonce"),
    "version": ({f"{CLAIM}version": "1.1"}, 400, "version"),
    "another kind of message": ({f"{CLAIM}message_type": "LtiSubmissionReviewRequest"}, 400, "message_type"),
    "deployment": ({f"{CLAIM}deployment_id": "8"}, 403, "the deployment 8"),
    "nobody's mail": ({"email": None}, 403, "sent nothing"),
    "no text": ({"email": ["ada@example.edu"]}, 403, "cannot be an account"),
    "unknown person": ({"email": "mallory@example.edu"}, 403, "mallory is not in this course"),
    "mail of elsewhere": ({"email": "ada@evil.example"}, 403, "cannot be an account"),
    "no domain": ({"email": "ada"}, 403, "cannot be an account"),
    "two at signs": ({"email": "ada@evil.example@example.edu"}, 403, "cannot be an account"),
    "path": ({"email": "../ines@example.edu"}, 403, "cannot be an account"),
    "empty name": ({"email": "@example.edu"}, 403, "cannot be an account"),
    "space": ({"email": "ada @example.edu"}, 403, "cannot be an account"),
    "end of line": ({"email": "ada@example.edu\n"}, 403, "cannot be an account"),
    "cyrillic a": ({"email": "\u0430da@example.edu"}, 403, "cannot be an account"),
    # its lower-case letter is the k of ASCII: JupyterHub alone would let in karl
    "Kelvin sign": ({"email": "\u212aarl@example.edu"}, 403, "cannot be an account"),
    "markup": ({"email": "<script>alert(1)</script>@example.edu"}, 403, "cannot be an account"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_token_is_refused_with_the_reason(lti_person: Made, what: str) -> None:
    changes, status, word = WRONG[what]
    mallory = lti_person()
    answer = mallory.launch(**changes)
    refused(answer, status, word)
    assert "<script>alert" not in answer.text
    assert mallory.me() == {}


def test_token_of_another_key_is_refused(lti_person: Made) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    refused(lti_person().launch({"key": stranger}), 400, "Signature verification failed")
    refused(lti_person().launch({"key": stranger, "kid": "two"}), 400)


def test_token_without_a_signature_is_refused(lti_person: Made) -> None:
    refused(lti_person().launch({"key": "", "algorithm": "none"}), 400, "alg")


def test_public_key_is_no_password(lti_person: Made, lti_platform: Platform) -> None:
    """The old trick: the public key, which everybody knows, as the secret of HS256."""
    import base64
    import hashlib
    import hmac
    import json

    form, kind = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    public = lti_platform.key.public_key().public_bytes(kind, form)
    mallory = lti_person()
    asked = mallory.asked()
    parts = ({"alg": "HS256", "kid": "one", "typ": "JWT"}, lti_platform.claims(asked["nonce"]))
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    mark = base64.urlsafe_b64encode(hmac.digest(public, text, hashlib.sha256)).rstrip(b"=")
    refused(mallory.arrive((text + b"." + mark).decode(), asked["state"]), 400, "alg")


@pytest.mark.parametrize("token", ["", "x", "x.y.z", "\x00"])
def test_what_is_no_token_is_refused(lti_person: Made, token: str) -> None:
    mallory = lti_person()
    refused(mallory.arrive(token, mallory.asked()["state"]), 400)


def test_capitals_are_the_same_person(lti_person: Made, lti_platform: Platform) -> None:
    lti_platform.person = {"email": "Ada@Example.EDU"}
    ada = lti_person()
    ada.launch()
    assert ada.me()["name"] == "ada"


def test_role_of_the_platform_makes_no_staff(lti_person: Made) -> None:
    bob = lti_person()
    roles = [f"{ROLE}Instructor", "http://purl.imsglobal.org/vocab/lis/v2/system/person#Administrator"]
    bob.launch(None, **{"email": "bob@example.edu", f"{CLAIM}roles": roles})
    assert bob.me()["groups"] == ["students"] and not bob.me()["admin"]
    assert set(bob.me()["roles"]) == {"user"}


def test_learner_who_is_staff_in_our_list_is_staff(lti_person: Made) -> None:
    ines = lti_person()
    ines.launch(email="ines@example.edu")
    assert ines.me()["groups"] == ["instructors"]


def test_launch_of_another_browser_logs_in_nobody(lti_person: Made, lti_platform: Platform) -> None:
    """Login CSRF: mallory lets bob's browser send mallory's token, and reads what bob then writes."""
    mallory, bob = lti_person(), lti_person()
    asked = mallory.asked()
    token = lti_platform.sign(lti_platform.claims(asked["nonce"]))
    refused(bob.arrive(token, asked["state"]), 400, "state missing from cookies")
    bob.asked()  # bob's own launch has begun
    refused(bob.arrive(token, asked["state"]), 400, "state mismatch")
    assert bob.me() == {}


def test_state_cookie_must_be_the_hubs(lti_person: Made, lti_platform: Platform) -> None:
    """A state that was made up is not signed."""
    bob = lti_person()
    asked = bob.asked()
    bob.cookies.clear()
    bob.cookies.set(STATE, asked["state"], domain="localhost.local", path="/")
    token = lti_platform.sign(lti_platform.claims(asked["nonce"]))
    refused(bob.arrive(token, asked["state"]), 400, "state missing from cookies")


def test_nonce_of_another_browser_is_refused(lti_person: Made, lti_platform: Platform) -> None:
    """With her own state, and a token that was stolen from somebody else's launch."""
    ada, mallory = lti_person(), lti_person()
    stolen = lti_platform.sign(lti_platform.claims(ada.asked()["nonce"]))
    refused(mallory.arrive(stolen, mallory.asked()["state"]), 400, "nonce mismatch")


def test_a_launch_counts_once(lti_person: Made, lti_platform: Platform) -> None:
    """The next person at a shared machine goes back to the form and sends it again; a thief has copied the cookies."""
    ada = lti_person()
    asked = ada.asked()
    copied = {name: ada.cookies[name] for name in (STATE, NONCE)}
    token = lti_platform.sign(lti_platform.claims(asked["nonce"]))
    assert ada.arrive(token, asked["state"]).status_code == 302
    assert STATE not in ada.cookies and NONCE not in ada.cookies
    refused(ada.arrive(token, asked["state"]), 400, "state missing from cookies")
    thief = lti_person()
    for name, value in copied.items():
        thief.cookies.set(name, value, domain="localhost.local", path="/", secure=True)
    refused(thief.arrive(token, asked["state"]), 400, "already used")


def test_only_two_cookies_cross_sites(lti_person: Made) -> None:
    ada = lti_person()
    start = cookies(ada.click())
    assert {STATE, NONCE} <= set(start)
    for name in (STATE, NONCE):
        one = start[name]
        assert (one["samesite"], one["secure"], one["httponly"], one["path"]) == ("None", True, True, "/")
        assert one["domain"] == "" and one["max-age"] == "600"
    others = cookies(lti_person().launch())
    for name, one in others.items():
        if name in (STATE, NONCE):
            assert one.value == "" and one["secure"], (
                "a browser drops a __Host- cookie by a Secure answer only"
            )
        elif name != "_xsrf":
            assert (one["samesite"], one["secure"]) == ("Lax", True), name
    assert "__Host-jupyterhub-hub-login" in others
