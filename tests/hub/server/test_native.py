"""Is a sign-up worth nothing before staff approved it, and open to listed people only?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm

pytest.importorskip("nativeauthenticator", reason="pip install -r requirements/server.lock into .venv-staff")

from hub_config.server.configuration import FAILED_LOGINS, PASSWORD_LENGTH
from hub_config.server.native import ApprovedSignUps, SignUpsPage, decide
from hub_config.server.settings import read_settings
from tests.hub.server.deployment import Deployment

GOOD = "a long password nobody guessed"


@pytest.fixture
def sign_ups(deployment: Deployment, tmp_path: Path) -> Iterator[ApprovedSignUps]:
    """The authenticator as it is configured, on a database of its own."""
    text = deployment.file.read_text().replace('"pam"', '"native"')
    deployment.file.write_text(text)
    deployment.settings = read_settings(deployment.file)
    deployment.refill()
    session = orm.new_session_factory(f"sqlite:///{tmp_path / 'hub.sqlite'}")()
    made = ApprovedSignUps(config=deployment.c, parent=None, db=session)
    yield made
    session.close()
    session.bind.dispose()


def login(sign_ups: ApprovedSignUps, name: str, password: str) -> Any:
    """Try to log in; the name, or None."""
    return asyncio.run(sign_ups.authenticate(None, {"username": name, "password": password}))


def test_listed_name_is_not_approved_by_itself(sign_ups: ApprovedSignUps) -> None:
    """A stranger who signs up first as ada must not become ada."""
    assert sign_ups.create_user("ada", GOOD) is not None
    assert login(sign_ups, "ada", GOOD) is None
    assert decide(sign_ups.db, "ada", "approve")
    assert login(sign_ups, "ada", GOOD) == "ada"


def test_unlisted_name_cannot_sign_up(sign_ups: ApprovedSignUps) -> None:
    assert sign_ups.create_user("mallory", GOOD) is None
    assert not decide(sign_ups.db, "mallory", "approve")


@pytest.mark.parametrize("password", ["short", "x" * (PASSWORD_LENGTH - 1), "123qweasdzxc"])
def test_weak_password_is_refused(sign_ups: ApprovedSignUps, password: str) -> None:
    assert sign_ups.create_user("ada", password) is None


def test_guessing_locks_the_name(sign_ups: ApprovedSignUps) -> None:
    sign_ups.create_user("ada", GOOD)
    decide(sign_ups.db, "ada", "approve")
    for _ in range(FAILED_LOGINS):
        assert login(sign_ups, "ada", "wrong") is None
    assert login(sign_ups, "ada", GOOD) is None


def test_discarded_person_can_sign_up_again(sign_ups: ApprovedSignUps) -> None:
    sign_ups.create_user("ada", GOOD)
    decide(sign_ups.db, "ada", "approve")
    assert decide(sign_ups.db, "ada", "discard")
    assert login(sign_ups, "ada", GOOD) is None
    assert sign_ups.create_user("ada", GOOD + "!") is not None
    assert login(sign_ups, "ada", GOOD + "!") is None, "it needs a new approval"


def test_nothing_changes_on_a_get(sign_ups: ApprovedSignUps) -> None:
    """nativeauthenticator approves, discards and resets by address alone; those pages are gone."""
    routes = [pattern for pattern, _ in sign_ups.get_handlers(None)]
    for path in ("/authorize", "/authorize/ada", "/discard/ada", "/confirm/x", "/change-password/ada"):
        assert not any(re.fullmatch(pattern, path) for pattern in routes), path
    assert "/sign-ups" in routes
    assert SignUpsPage.get is not SignUpsPage.post
    assert not sign_ups.open_signup


def test_configuration_lists_who_approves(sign_ups: ApprovedSignUps) -> None:
    assert sign_ups.instructors == {"ines"}
    assert sign_ups.allowed_users == {"ada", "bob", "ines", "tom"}
