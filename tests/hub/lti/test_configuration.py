"""Which account does a platform's word stand for, and what do the deployments make of their settings?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tornado.web import HTTPError
from traitlets.config import Config

from hub_config.errors import HubError
from hub_config.hub import declare_people
from hub_config.lti import Lti, account_name, configure_lti, read_lti
from hub_config.lti_login import PlatformLogin
from hub_config.server.settings import read_settings
from tests.hub.lti.platform import CLAIM
from tests.hub.server.deployment import Deployment

URL = "https://lms.test"
TABLE: dict[str, Any] = {
    "issuer": URL,
    "client_ids": ["42"],
    "authorize_url": f"{URL}/authorize",
    "jwks_url": f"{URL}/keys",
    "username": "ext_user_username",
}


def login(username: str, mail_domain: str = "") -> PlatformLogin:
    """The authenticator of a deployment with these settings."""
    c = Config()
    declare_people(c, ["ines"], [], ["ada"])
    lti = Lti(URL, ["42"], f"{URL}/authorize", f"{URL}/keys", username, mail_domain)
    configure_lti(c, lti, "https://course.test")
    return PlatformLogin(config=c)


def person_of(made: PlatformLogin, token: dict[str, Any]) -> dict[str, Any]:
    """What JupyterHub gets for a token. In a thread: a test with a browser leaves its loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: asyncio.run(made.get_authenticated_user(None, token))).result()
    return dict(found)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A sound server deployment of its own."""
    return Deployment(tmp_path)


@pytest.mark.parametrize(
    ("username", "token"),
    [
        ("email", {"email": "ada@example.edu"}),
        ("ext_user_username", {f"{CLAIM}ext": {"user_username": "ada"}}),
        ("lis_person_sourcedid", {f"{CLAIM}lis": {"person_sourcedid": "ada"}}),
        ("custom_login_name", {f"{CLAIM}custom": {"login_name": "ada"}}),
    ],
)
def test_name_comes_from_the_claim_of_the_settings(username: str, token: dict[str, Any]) -> None:
    made = login(username, "example.edu" if username == "email" else "")
    model = person_of(made, {"sub": "ines", **token})
    assert model["name"] == "ada" and not model["admin"]
    assert model["auth_state"] is None and "groups" not in model, "nothing of the token is kept"
    for other in ({"sub": "ada"}, {f"{CLAIM}ext": "ada"}, {f"{CLAIM}lis": None}):
        with pytest.raises(HTTPError) as caught:
            person_of(made, other)
        assert caught.value.status_code == 403


@pytest.mark.parametrize(
    "said", ["$Person.sourcedId", "$User.username", "5", "a" * 32, "", None, 5, True, {}]
)
def test_what_is_no_name_lets_in_nobody(said: Any) -> None:
    """A platform that does not know a variable sends it as it stands."""
    assert account_name(said, "") is None
    assert account_name(said, "example.edu") is None


def test_only_the_whole_domain_counts() -> None:
    assert account_name("ada@example.edu", "example.edu") == "ada"
    for said in ("ada@sub.example.edu", "ada@example.edu.evil.test", "ada@notexample.edu", "ada", "ada@"):
        assert account_name(said, "example.edu") is None
    assert account_name("ada@example.edu", "") is None


def test_a_used_token_is_forgotten_after_its_end() -> None:
    made = login("ext_user_username")
    assert made.use_once({"nonce": "a", "exp": 1})
    assert made.use_once({"nonce": "b", "exp": 1})
    assert set(made._used) == {"b"}


def test_server_deployment_with_lti_is_sound(deployment: Deployment) -> None:
    """The check before the start finds nothing, and JupyterHub gets the settings."""
    text = deployment.file.read_text().replace('"pam"', '"lti"')
    lines = "\n".join(f"{key} = {value!r}" for key, value in TABLE.items())
    deployment.file.write_text(f"{text}[lti]\n{lines}\n")
    deployment.settings = read_settings(deployment.file)
    deployment.refill()
    assert deployment.weaknesses() == []
    made = PlatformLogin(config=deployment.c)
    assert made.address == "https://course.test" and made.client_id == {"42"}
    assert made.allowed_users == {"ada", "bob", "ines", "tom"}
    assert not made.allow_all and not made.allow_existing_users and not made.admin_users
    assert set(deployment.c.PlatformLogin) <= set(PlatformLogin.class_trait_names(config=True))


def test_canvas_gets_no_more_of_a_person_than_the_name_needs() -> None:
    levels = {
        "email": "email_only",
        "lis_person_sourcedid": "name_only",
        "custom_login": "anonymous",
    }
    for username, level in levels.items():
        found = login(username, "example.edu").tool_configuration("/hub/")
        assert found["extensions"][0]["privacy_level"] == level
    assert found["custom_fields"] == {"login": "$Canvas.user.loginId"}
    assert found["oidc_initiation_url"] == "https://course.test/hub/lti13/oauth_login"


def test_table_of_another_file_is_read_with_the_same_care(tmp_path: Path) -> None:
    """people.toml of the Docker deployment, or whatever a deployment keeps it in."""
    file = tmp_path / "people.toml"
    assert read_lti({"students": ["ada"]}, file) is None
    assert read_lti({"lti": TABLE}, file) == Lti(**TABLE)
    wrong: list[tuple[Any, str]] = [
        (3, "lti must be a table"),
        ({}, "lti.issuer is missing"),
        (TABLE | {"jwks_url": "http://lms.test/keys"}, "lti.jwks_url cannot be"),
        (TABLE | {"username": "email"}, "needs lti.mail_domain"),
        (TABLE | {"client_ids": []}, "lti.client_ids is empty"),
    ]
    for table, says in wrong:
        with pytest.raises(HubError, match=says) as caught:
            read_lti({"lti": table}, file)
        assert str(file) in str(caught.value)
