"""Rosters of three kinds, what is refused in them, and that nobody is removed."""

from __future__ import annotations

import csv
import io

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from autograder.commands.roster import roster
from autograder.errors import ConfigurationError
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet
from autograder.roster import Person, import_people, read_people
from tests.conftest import MiniLab

ADA = Person("ada", "Lovelace", "Ada", "ada@example.edu")
CANVAS = (
    '﻿"Student","ID","SIS User ID","SIS Login ID","Section"\r\n'
    '"    Points Possible",,,,\r\n"Lovelace, Ada","17","S1","ada","A"\r\n"Student, Test","18",,,"A"\r\n'
)
MOODLE = "First name,Last name,ID number,Email address\r\nAda,Lovelace,ada,ada@example.edu\r\n"


def known(mini: MiniLab) -> dict[str, tuple[str, str, str]]:
    """Students in the gradebook."""
    with open_gradebook(mini.instance) as gradebook, quiet():
        return {one.id: (one.last_name, one.first_name, one.email) for one in gradebook.students}


def test_three_kinds_of_file() -> None:
    assert read_people(CANVAS, "canvas") == [Person("ada", "Lovelace", "Ada", "", "A")]
    assert read_people(MOODLE, "moodle") == [ADA]
    grouped = "First name,Last name,ID number,Email address,Groups\r\nAda,Lovelace,ada,a@b,Tue\r\n"
    assert read_people(grouped, "moodle")[0].section == "Tue"
    assert read_people("student,day\nada,Wed\n", "csv", section="day")[0].section == "Wed"
    with pytest.raises(ConfigurationError, match="no column 'week'; it has: student"):
        read_people("student\nada\n", "csv", section="week")
    assert read_people("student,email\nada,x@y\n", "csv") == [Person("ada", "", "", "x@y")]
    assert read_people(CANVAS, "canvas", "SIS User ID")[0].id == "s1"  # as the Hub writes it


@given(
    st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), unique=True, min_size=1, max_size=6),
    st.text(max_size=20),
)
def test_any_name_of_a_person_survives(ids: list[str], name: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["student", "last name", "first name", "email"])
    writer.writerows([one, name, "", ""] for one in ids)
    assert [(one.id, one.last_name) for one in read_people(file.getvalue(), "csv")] == [
        (one, name.strip()) for one in ids
    ]


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("", "csv", "it has: nothing"),
        ("student\n", "csv", "names no student"),
        (f"student,section\nada,{'x' * 101}\n", "csv", "line 2: the section of ada is no line of text"),
        ("name\nada\n", "csv", "no column 'student'; it has: name"),
        ("student\n../x\n", "csv", "line 2: '../x' cannot be an account name"),
        ("student\nada\nada\n", "csv", "ada twice, in lines 2 and 3"),
        ("Student,ID\nA,1\n", "canvas", "'SIS Login ID' or 'SIS User ID'"),
    ],
)
def test_what_is_no_roster_is_told(text: str, kind: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_people(text, kind)


def test_people_are_added_corrected_and_never_removed(fresh_mini: MiniLab) -> None:
    people = [ADA, Person("bob", "", "", "")]
    assert import_people(fresh_mini.instance, people, dry_run=True).added == ["ada", "bob"]
    assert known(fresh_mini) == {}
    assert import_people(fresh_mini.instance, people).added == ["ada", "bob"]
    married = Person("ada", "King", "", "")  # an empty field says nothing
    changes = import_people(fresh_mini.instance, [married])
    assert (changes.added, changes.changed, changes.only_here) == ([], ["ada"], ["bob"])
    assert known(fresh_mini)["ada"] == ("King", "Ada", "ada@example.edu") and "bob" in known(fresh_mini)
    assert import_people(fresh_mini.instance, [married]).changed == []


def test_the_command_writes_the_hubs_list_too(fresh_mini: MiniLab) -> None:
    file, hub = fresh_mini.instance.root / "moodle.csv", fresh_mini.instance.root / "roster.csv"
    file.write_text(MOODLE, "utf-8")
    arguments = [
        "import",
        str(file),
        "--format",
        "moodle",
        "--hub",
        str(hub),
        "--instance",
        str(fresh_mini.instance.root),
    ]
    done = CliRunner().invoke(roster, arguments, catch_exceptions=False)
    assert (
        done.exit_code == 0 and hub.read_text() == "name,role\nada,student\n" and "ada" in known(fresh_mini)
    )
