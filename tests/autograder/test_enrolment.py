"""Sections and who has left: what the commands change, what is refused, and that nothing is ever deleted."""

from __future__ import annotations

import csv
import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autograder.actions import WHO_VARIABLE, operator, read_actions
from autograder.commands.export import export
from autograder.commands.roster import roster
from autograder.course import load_course
from autograder.enrolment import (
    Enrolment,
    assign_sections,
    come_back,
    forget_enrolment,
    in_section,
    leave,
    read_enrolment,
    those_who_left,
)
from autograder.errors import ConfigurationError
from autograder.report.people import members
from autograder.report.statistics import read_verdicts
from autograder.roster import Person, import_people
from tests.conftest import MiniLab

DAY = date(2027, 3, 20)


@pytest.fixture
def lab(fresh_mini: MiniLab) -> MiniLab:
    """Three students who are in the gradebook."""
    import_people(fresh_mini.instance, [Person(name, "", name.title(), "") for name in ("ada", "bob", "eve")])
    return fresh_mini


def run(lab: MiniLab, *words: str) -> Result:
    """`course roster`."""
    return CliRunner().invoke(roster, [*words, "--instance", str(lab.instance.root)])


def test_sections_and_leaving_are_kept_apart(lab: MiniLab) -> None:
    assert assign_sections(lab.instance, {"ada": "A", "bob": "A"}) == 2
    assert assign_sections(lab.instance, {"ada": "B", "bob": "A"}) == 1
    assert leave(lab.instance, "ada", DAY) and not leave(lab.instance, "ada", date(2027, 4, 1))
    assert read_enrolment(lab.instance) == {
        "ada": Enrolment("B", DAY.isoformat()), "bob": Enrolment("A"),
    }  # fmt: skip
    everybody = ["ada", "bob", "eve"]
    assert in_section(lab.instance, everybody, "") == {"bob", "eve"}
    assert in_section(lab.instance, everybody, "A") == {"bob"}
    assert in_section(lab.instance, everybody, "B") == set()
    assert come_back(lab.instance, "ada") and not come_back(lab.instance, "ada")
    assert assign_sections(lab.instance, {"ada": "", "bob": ""}) == 2
    assert read_enrolment(lab.instance) == {}


def test_each_change_is_in_the_journal_and_no_change_is_not(
    lab: MiniLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WHO_VARIABLE, "ines")
    assign_sections(lab.instance, {"ada": "A", "bob": ""})
    leave(lab.instance, "ada", DAY, who="tomas")
    come_back(lab.instance, "ada")
    imported, *changed = read_actions(lab.instance)
    assert imported.what == "imported a roster: 3 added, 0 corrected"
    assert [(one.who, one.what, one.student) for one in changed] == [
        ("ines", "is in the section A", "ada"),
        ("tomas", "left the class on 2027-03-20", "ada"),
        ("ines", "came back to the class", "ada"),
    ]


def test_an_account_without_a_name_still_has_one_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (WHO_VARIABLE, "SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: (_ for _ in ()).throw(KeyError(number)))
    assert operator() == f"account {os.getuid()}"


def test_two_at_once_both_count(lab: MiniLab) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda who: assign_sections(lab.instance, {who: "A"}), ("ada", "bob")))
    assert set(read_enrolment(lab.instance)) == {"ada", "bob"}


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"adda": "A"}, "knows no student 'adda'; did you mean ada"),
        ({"ada": "A\nB"}, "a section's name is one line"),
        ({"ada": "x" * 101}, "at most 100"),
    ],
)
def test_what_cannot_be_meant_is_refused_whole(lab: MiniLab, sections: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        assign_sections(lab.instance, {"bob": "A", **sections})
    assert read_enrolment(lab.instance) == {}


def test_a_damaged_file_is_named(lab: MiniLab) -> None:
    (lab.instance.root / "enrolment.json").write_text('{"ada": {"grade": 1}}')
    with pytest.raises(ConfigurationError, match=r"enrolment\.json is damaged"):
        read_enrolment(lab.instance)


def test_the_commands_say_what_they_did(lab: MiniLab) -> None:
    assert "2 of 2 are in another section" in run(lab, "section", "A", "ada", "bob").stderr
    assert "0 of 1 are in another section" in run(lab, "section", "A", "ada").stderr
    assert "eve has left the class\n" in run(lab, "leave", "eve").stderr
    assert "eve has left the class already" in run(lab, "leave", "eve").stderr
    assert those_who_left(lab.instance) == {"eve"}
    assert "eve is back\n" in run(lab, "leave", "--back", "eve").stderr
    refused = run(lab, "leave", "nobody")
    assert isinstance(refused.exception, ConfigurationError)


def test_a_roster_moves_sections_and_with_leave_those_it_lacks(lab: MiniLab, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text("student,section\nada,A\nzoe,B\n")
    tried = run(lab, "import", str(file), "--leave", "--dry-run")
    assert "2 would have left the class: bob, eve" in tried.stderr and read_enrolment(lab.instance) == {}
    kept = run(lab, "import", str(file))
    assert "left as they are: bob, eve" in kept.stderr and those_who_left(lab.instance) == set()
    asked = CliRunner().invoke(
        roster, ["import", str(file), "--leave", "--instance", str(lab.instance.root)], input="n\n"
    )
    assert asked.exit_code == 1 and those_who_left(lab.instance) == set()
    done = run(lab, "import", str(file), "--leave", "--yes")
    assert "2 have left the class: bob, eve" in done.stderr
    assert {name: about.section for name, about in read_enrolment(lab.instance).items()} == {
        "ada": "A", "bob": "", "eve": "", "zoe": "B",
    }  # fmt: skip
    file.write_text("student\nada\nbob\n")
    assert run(lab, "import", str(file)).exit_code == 0 and those_who_left(lab.instance) == {"bob", "eve"}
    tried = run(lab, "import", str(file), "--leave", "--dry-run")
    assert (
        "1 would have come back: bob" in tried.stderr and "1 would have left the class: zoe" in tried.stderr
    )
    assert "1 have come back: bob" in run(lab, "import", str(file), "--leave", "--yes").stderr
    assert come_back(lab.instance, "zoe") and those_who_left(lab.instance) == {"eve"}
    assert read_enrolment(lab.instance)["ada"].section == "A"  # a roster without sections takes none away


def test_an_export_has_sections_and_none_who_left(lab: MiniLab) -> None:
    assign_sections(lab.instance, {"ada": "=A", "bob": "B"})
    leave(lab.instance, "eve", DAY)
    root = ["--instance", str(lab.instance.root)]

    def rows(*options: str) -> dict[str, str]:
        done = CliRunner().invoke(export, [lab.lab.id, *options, *root], catch_exceptions=False)
        return {row["student"]: row["section"] for row in csv.DictReader(io.StringIO(done.stdout))}

    assert rows() == {"ada": "'=A", "bob": "B"}
    assert rows("--section", "B") == {"bob": "B"}
    with pytest.raises(ConfigurationError, match="there is no section 'C'"):
        rows("--section", "C")


def test_who_left_comes_last_and_is_in_no_statistics(lab: MiniLab) -> None:
    leave(lab.instance, "ada", DAY)
    assert [one.id for one in members(lab.instance, load_course())] == ["bob", "eve", "ada"]
    folder = lab.instance.verdicts / lab.lab.id / "ada"
    folder.mkdir(parents=True)
    (folder / "01-Scale.json").write_text("not read")
    assert read_verdicts(lab.instance, lab.lab.id) == {}


def test_what_is_known_of_a_student_can_be_forgotten(lab: MiniLab) -> None:
    assign_sections(lab.instance, {"ada": "A", "bob": "B"})
    forget_enrolment(lab.instance, "ada")
    forget_enrolment(lab.instance, "nobody")
    assert list(read_enrolment(lab.instance)) == ["bob"]
