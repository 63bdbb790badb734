"""Does a mistake in hub.toml say where it is and what to write?"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from hub_config.errors import HubError
from hub_config.lti import Lti
from hub_config.server.settings import Settings, read_settings, settings_file

EXAMPLE = Path(__file__).parents[3] / "hub_config" / "server" / "settings.toml.example"


def written(tmp_path: Path, text: str) -> Path:
    """A settings file; the two keys that are needed come first."""
    file = tmp_path / "hub.toml"
    file.write_text(f'domain = "course.test"\n{text}', "utf-8")
    return file


def test_example_can_be_read_as_it_is() -> None:
    settings = read_settings(EXAMPLE)
    assert settings.domain == "course.example.edu"
    assert settings.people.instructors == ["ines"]


def test_every_commented_line_of_the_example_is_the_default(tmp_path: Path) -> None:
    """Taking the # away must change nothing but the roster."""
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    roster = tmp_path / "roster.csv"
    roster.write_text("name,role\n")
    text = re.sub(r'roster = ".*"', f'roster = "{roster}"', text)
    file = tmp_path / "hub.toml"
    file.write_text(text, "utf-8")
    full, plain = read_settings(file), read_settings(EXAMPLE)
    people = dataclasses.replace(full.people, roster="")
    assert dataclasses.replace(full, people=people, file=plain.file) == plain
    for table in dataclasses.fields(Settings):
        if dataclasses.is_dataclass(getattr(plain, table.name)):
            for key in dataclasses.fields(getattr(plain, table.name)):
                assert re.search(rf"^{key.name} = ", text, re.MULTILINE), f"{key.name} is not in the example"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("authentcator = 'pam'", "authentcator is unknown; did you mean authenticator?"),
        ("[people]\ninstructors = 'ines'", "people.instructors must be a list of names"),
        ("[people]\ninstructors = [1]", "people.instructors must be a list of names"),
        ("[people]\nstudents = ['ada']", "people.instructors is missing"),
        ("", "[people] with instructors is missing"),
        ("[people]\ninstructors = ['In es']", "people.instructors cannot be 'In es'"),
        ("people = 3", "people must be a table"),
        ("[people]\ninstructors = ['i']\n[servers]\nmemory = 4", "servers.memory must be a text"),
        ("[people]\ninstructors = ['i']\n[servers]\nmemory = '4 GB'", 'a number with M or G, like "4G"'),
        ("[people]\ninstructors = ['i']\n[servers]\ncpu = true", "servers.cpu must be a number"),
        ("[people]\ninstructors = ['i']\n[servers]\ncpu = 0", "servers.cpu cannot be 0.0: more than 0"),
        ("[people]\ninstructors = ['i']\n[ports]\nhub = 80", "a port between 1024 and 65535"),
        ("[people]\ninstructors = ['i']\n[ports]\nhub = 8000", "two keys of [ports] have the same number"),
        ("[people]\ninstructors = ['i']\n[paths]\nstate = 'var'", "an absolute path"),
        ("[people]\ninstructors = ['i']\n[paths]\nstate = '/a b'", "an absolute path"),
        ("[people]\ninstructors = ['i']\n[backup]\nkeep = 0", "backup.keep cannot be 0"),
        ("[people]\ninstructors = ['i']\nroster = '/nowhere/r.csv'", "people.roster names, cannot be read"),
        ("file = '/etc/passwd'", "the key file is unknown"),
        (
            "authenticator = 'dummy'\n[people]\ninstructors = ['i']",
            'authenticator must be "pam", "native" or "lti"',
        ),
        ("domain = ", "is not TOML"),
    ],
)
def test_mistake_names_file_key_and_what_to_write(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(HubError) as caught:
        read_settings(file)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "/nowhere" in str(caught.value)


LTI = """authenticator = "lti"
[people]
instructors = ["ines"]
[lti]
issuer = "https://lms.test"
client_ids = ["42"]
authorize_url = "https://lms.test/authorize"
jwks_url = "https://lms.test/keys"
username = "ext_user_username"
"""


def test_table_lti_is_read(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, LTI))
    assert settings.authenticator == "lti" and settings.lti is not None
    assert (settings.lti.client_ids, settings.lti.mail_domain, settings.lti.deployment_ids) == (
        ["42"],
        "",
        [],
    )


def test_every_key_of_lti_is_in_the_example(tmp_path: Path) -> None:
    """Taking the #: away gives a deployment with LTI, in which the keys that may be left out have their defaults."""
    text = EXAMPLE.read_text("utf-8").replace("#: ", "").replace('"pam"\n', '"lti"\n')
    file = tmp_path / "hub.toml"
    file.write_text(text, "utf-8")
    found = read_settings(file).lti
    assert found is not None
    for key in dataclasses.fields(Lti):
        assert re.search(rf"^{key.name} = ", text, re.MULTILINE), f"{key.name} is not in the example"
    assert found == Lti(found.issuer, found.client_ids, found.authorize_url, found.jwks_url, found.username)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"lti"', '"pam"', '[lti] is there, but authenticator is "pam"'),
        (LTI[LTI.index("[lti]") :], "", 'authenticator = "lti" needs the table [lti]'),
        ('issuer = "https://lms.test"', "", "lti.issuer is missing"),
        ('client_ids = ["42"]', "", "lti.client_ids is missing"),
        ('authorize_url = "https://lms.test/authorize"', "", "lti.authorize_url is missing"),
        ('jwks_url = "https://lms.test/keys"', "", "lti.jwks_url is missing"),
        ('username = "ext_user_username"', "", "lti.username is missing"),
        ("jwks_url", "jwk_url", "lti.jwk_url is unknown; did you mean jwks_url?"),
        ('["42"]', '"42"', "lti.client_ids must be a list"),
        ('["42"]', "[42]", "lti.client_ids must be a list"),
        ('["42"]', "[]", "lti.client_ids is empty"),
        ('["42"]', '[""]', "lti.client_ids cannot be ''"),
        ('"https://lms.test"', '"http://lms.test"', "lti.issuer cannot be 'http://lms.test'"),
        ('"https://lms.test"', '"lms.test"', "begins with https://"),
        ('"https://lms.test"', '"https://lms.test?x=1"', "lti.issuer cannot be"),
        ("https://lms.test/authorize", "http://lms.test/authorize", "lti.authorize_url cannot be"),
        ("https://lms.test/keys", "http://lms.test/keys", "lti.jwks_url cannot be"),
        ("https://lms.test/keys", "file:///etc/passwd", "lti.jwks_url cannot be"),
        ("https://lms.test/keys", "https://", "lti.jwks_url cannot be"),
        ("https://lms.test/keys", "https://[", "lti.jwks_url cannot be"),
        ("https://lms.test/keys", "https://lms.test@evil.test/", "lti.jwks_url cannot be"),
        ('"ext_user_username"', '"sub"', "docs/lti.md says which is safe where"),
        ('"ext_user_username"', '"given_name"', "lti.username cannot be 'given_name'"),
        ('"ext_user_username"', '"custom_"', "lti.username cannot be 'custom_'"),
        ('"ext_user_username"', '"email"', 'lti.username = "email" needs lti.mail_domain'),
        ('"ext_user_username"', '"email"\nmail_domain = "@lms.test"', "lti.mail_domain cannot be"),
        ('"ext_user_username"', '"email"\nmail_domain = "Lms.test"', "lti.mail_domain cannot be"),
        ("[lti]", "[lti]\ndeployment_ids = ['']", "lti.deployment_ids cannot be ''"),
        (LTI[LTI.index("[people]") :], "lti = 3\n[people]\ninstructors = ['i']", "lti must be a table"),
    ],
)
def test_mistake_in_lti_names_file_key_and_what_to_write(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in LTI
    file = written(tmp_path, LTI.replace(old, new, 1))
    with pytest.raises(HubError) as caught:
        read_settings(file)
    assert says in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize(
    "domain", ["https://course.test", "Course.test", "course", "a..b", "-a.test", "1.2.3.4"]
)
def test_domain_is_a_name_alone(tmp_path: Path, domain: str) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(f'domain = "{domain}"\n[people]\ninstructors = ["i"]\n')
    with pytest.raises(HubError, match="the name alone"):
        read_settings(file)


def test_roster_adds_to_the_lists(tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text("name,role\n# the class of autumn\nada, student\nines,instructor\ntom,assistant\n\n")
    settings = read_settings(written(tmp_path, f'[people]\ninstructors = ["ines"]\nroster = "{roster}"\n'))
    assert settings.people.instructors == ["ines"]
    assert (settings.people.assistants, settings.people.students) == (["tom"], ["ada"])


@pytest.mark.parametrize("line", ["ada", "ada,teacher", "Ada Lovelace,student", ",student"])
def test_bad_roster_line_is_named(tmp_path: Path, line: str) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text(f"name,role\n{line}\n")
    with pytest.raises(HubError, match=r"roster\.csv, line 2: expected name,role"):
        read_settings(written(tmp_path, f'[people]\ninstructors = ["ines"]\nroster = "{roster}"\n'))


def test_missing_file_says_what_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_HUB_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(HubError, match=r"copy hub_config/server/settings\.toml\.example there"):
        read_settings(settings_file())
