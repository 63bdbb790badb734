"""Does somebody who was taken off the lists lose what the Hub's database still gives them?"""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyterhub import orm

from hub_config.errors import HubError
from hub_config.server.membership import drop_unlisted
from hub_config.server.settings import People


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A Hub's database with three people and their groups."""
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    session = orm.new_session_factory(url)()
    session.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri="", description=""))
    groups = {name: orm.Group(name=name) for name in ("instructors", "assistants", "students")}
    session.add_all(groups.values())
    for name, group in (("ines", "instructors"), ("tom", "assistants"), ("ada", "students")):
        user = orm.User(name=name)
        session.add(user)
        groups[group].users.append(user)
        session.commit()
        token = orm.APIToken(user=user, client_id="jupyterhub")
        token.token = f"token-of-{name}"
        session.add(token)
    session.commit()
    session.bind.dispose()
    return url


def groups_of(url: str) -> dict[str, list[str]]:
    """Groups with their members."""
    session = orm.new_session_factory(url)()
    found = {group.name: [user.name for user in group.users] for group in session.query(orm.Group)}
    session.bind.dispose()
    return found


def tokens(url: str) -> set[str]:
    """Who has a token."""
    session = orm.new_session_factory(url)()
    found = {token.user.name for token in session.query(orm.APIToken)}
    session.bind.dispose()
    return found


def test_listed_people_keep_everything(url: str) -> None:
    assert drop_unlisted(url, People(["ines"], ["tom"], ["ada"])) == []
    assert groups_of(url) == {"instructors": ["ines"], "assistants": ["tom"], "students": ["ada"]}
    assert tokens(url) == {"ines", "tom", "ada"}


def test_former_assistant_stays_a_person_without_the_group(url: str) -> None:
    said = drop_unlisted(url, People(["ines"], [], ["ada", "tom"]))
    assert said == ["tom is no longer in the group assistants"]
    assert groups_of(url)["assistants"] == []
    assert "tom" in tokens(url)


def test_removed_person_is_logged_out(url: str) -> None:
    session = orm.new_session_factory(url)()
    before = orm.User.find(session, "tom").cookie_id
    session.bind.dispose()
    said = drop_unlisted(url, People(["ines"], [], ["ada"]))
    assert "tom is no longer listed: logged out" in said
    assert tokens(url) == {"ines", "ada"}
    session = orm.new_session_factory(url)()
    assert orm.User.find(session, "tom").cookie_id != before
    session.bind.dispose()
    assert drop_unlisted(url, People(["ines"], [], ["ada"])) == []


def test_first_start_has_nothing_to_drop(tmp_path: Path) -> None:
    assert drop_unlisted(f"sqlite:///{tmp_path / 'new.sqlite'}", People(["ines"])) == []


def test_database_that_does_not_answer_is_explained(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="Is PostgreSQL running"):
        drop_unlisted(f"postgresql+psycopg2:///hub?host={tmp_path}", People(["ines"]))
