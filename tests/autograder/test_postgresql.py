"""The gradebook in a real PostgreSQL: build, grade, regrade, feedback, two at once, and what goes wrong."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from sqlalchemy.engine import make_url

from autograder.build.builder import build_lab
from autograder.configuration import nbgrader_configuration
from autograder.course import COURSE_ID, ROOT, Instance
from autograder.database import advice, shown
from autograder.errors import ConfigurationError, GradebookError
from autograder.grade.audit import audit
from autograder.grade.course_grade import Graded, grade_lab
from autograder.grade.engine import Engine
from autograder.grade.receipts import Receipts
from autograder.gradebook import (
    count_submissions,
    create_gradebook,
    gradebook_exists,
    one_writer,
    open_gradebook,
    require_writable,
)
from autograder.nbgrader_api import quiet
from autograder.quality.handins import released_notebook, replace_solution
from autograder.quality.plain import automatic_scores, copy_gradebook
from autograder.report.feedback import make_feedback
from autograder.semester import emptied
from tests.conftest import MiniLab
from tests.postgresql import Server

FAST = {"cell_seconds": 20, "check_seconds": 4, "disk": 32}
WRONG = "def largest(x): return 2.0\nRunningSum = None\n"


def on(mini: MiniLab, root: Path, url: str) -> MiniLab:
    """The small lab built into a new instance whose gradebook is at `url`."""
    moved = object.__new__(MiniLab)
    moved.__dict__.update(mini.__dict__)
    moved.instance = Instance(root)
    root.mkdir()
    moved.instance.settings_file.write_text(f'gradebook = "{url}"\n', "utf-8")
    build_lab(mini.lab, mini.course, moved.instance)
    return moved


def hand_in(mini: MiniLab, student: str, notebook: NotebookNode) -> Path:
    """Put one hand-in where nbgrader collects them."""
    folder = mini.instance.submitted / student / mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "01-Scale.ipynb")
    return folder


def grade(mini: MiniLab, student: str | None = None) -> dict[str, Graded]:
    """Grade and index by student."""
    return {item.student: item for item in grade_lab(mini.instance, mini.lab.id, student, limits=FAST)}


@pytest.fixture(scope="module")
def template(mini: MiniLab, postgresql: Server, tmp_path_factory: pytest.TempPathFactory) -> MiniLab:
    """The small lab on PostgreSQL with two graded hand-ins; do not change it."""
    built = on(mini, tmp_path_factory.mktemp("pg") / "instance", postgresql.new_database())
    hand_in(built, "ada", built.reference())
    hand_in(built, "bob", replace_solution(built.reference(), "largest", WRONG))
    graded = grade(built)
    assert [item.failure for item in graded.values()] == ["", ""]
    return built


@pytest.fixture
def lab(template: MiniLab, postgresql: Server, tmp_path: Path) -> MiniLab:
    """A copy of the graded instance and of its database that a test may change."""
    copy = object.__new__(MiniLab)
    copy.__dict__.update(template.__dict__)
    shutil.copytree(template.instance.root, tmp_path / "instance")
    copy.instance = Instance(tmp_path / "instance")
    name = next(postgresql.names)
    postgresql.sql(f"CREATE DATABASE {name} TEMPLATE {make_url(template.instance.gradebook_url).database}")
    copy.instance.settings_file.write_text(f'gradebook = "{postgresql.url(name)}"\n', "utf-8")
    return copy


def test_a_fresh_database_is_built_and_graded(template: MiniLab, fresh_mini: MiniLab) -> None:
    """Are scores in PostgreSQL the same as in SQLite, and is there no SQLite file beside it?"""
    hand_in(fresh_mini, "ada", fresh_mini.reference())
    hand_in(fresh_mini, "bob", replace_solution(fresh_mini.reference(), "largest", WRONG))
    in_sqlite = {name: item.score for name, item in grade(fresh_mini).items()}
    with open_gradebook(template.instance) as gradebook, quiet():
        found = {item.student.id: item.score for item in gradebook.assignment_submissions(template.lab.id)}
    assert found == in_sqlite == {"ada": 90.0, "bob": 40.0}
    scores = automatic_scores(template.instance, template.lab.id)
    assert scores == automatic_scores(fresh_mini.instance, fresh_mini.lab.id)
    assert not list(template.instance.root.glob("*.db*"))
    assert count_submissions(template.instance, template.lab.id) == 2


def test_three_at_once_make_one_gradebook(postgresql: Server, tmp_path: Path) -> None:
    """Without a lock each would try to make the same tables."""
    instance = Instance(tmp_path)
    _write_setting(instance, postgresql.new_database())
    program = (
        "import sys, pathlib; from autograder.course import Instance; from autograder.gradebook import *; "
        "print(flush=True); sys.stdin.read(); create_gradebook(Instance(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with contextlib.ExitStack() as ended:
        started = [
            ended.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(3)
        ]
        for process in started:  # each has imported everything, so that they start together
            assert process.stdout is not None and process.stdout.readline() == b"\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
    assert [process.returncode for process in started] == [0, 0, 0]
    require_writable(instance)


def test_building_again_keeps_what_was_graded(lab: MiniLab) -> None:
    before = automatic_scores(lab.instance, lab.lab.id)
    build_lab(lab.lab, lab.course, lab.instance)
    assert automatic_scores(lab.instance, lab.lab.id) == before


def test_a_regrade_keeps_what_people_did(lab: MiniLab) -> None:
    with open_gradebook(lab.instance) as gradebook, quiet():
        question = gradebook.find_grade("question", "01-Scale", lab.lab.id, "ada")
        assert question.needs_manual_grade and question.auto_score is None
        question.manual_score, question.needs_manual_grade = 7.0, False
        gradebook.find_grade("test_largest", "01-Scale", lab.lab.id, "ada").manual_score = 15.0
        gradebook.find_comment("question", "01-Scale", lab.lab.id, "ada").manual_comment = "gut gemacht, 很好"
        gradebook.db.commit()
    assert grade(lab, "ada")["ada"].score == 40 + 15 + 20 + 7
    with open_gradebook(lab.instance) as gradebook, quiet():
        for name in ("question", "test_largest"):
            assert not gradebook.find_grade(name, "01-Scale", lab.lab.id, "ada").needs_manual_grade
        comment = gradebook.find_comment("question", "01-Scale", lab.lab.id, "ada").comment
        assert comment == "gut gemacht, 很好"


def test_formgrader_reads_it(template: MiniLab) -> None:
    """The two ways formgrader reads: the Gradebook of its handlers, and the API behind its tables."""
    config = nbgrader_configuration(template.instance)
    with quiet():
        with Gradebook(config.CourseDirectory.db_url, COURSE_ID) as gradebook:
            (assignment,) = gradebook.assignments
            assert (assignment.name, assignment.num_submissions) == (template.lab.id, 2)
        rows = NbGraderAPI(config=config).get_submissions(template.lab.id)
    assert [(row["student"], row["score"], row["needs_manual_grade"]) for row in rows] == [
        ("ada", 90.0, True),
        ("bob", 40.0, True),
    ]


def test_feedback_shows_scores_from_it(lab: MiniLab) -> None:
    pages = make_feedback(lab.instance, lab.lab.id)
    assert len(pages) == 2
    assert "largest of nothing" in pages[1].read_text("utf-8")


def test_plain_nbgrader_gets_a_copy_of_it(template: MiniLab, tmp_path: Path) -> None:
    copy = Instance(tmp_path)
    copy_gradebook(template.instance, copy.gradebook)
    assert automatic_scores(copy, template.lab.id) == automatic_scores(template.instance, template.lab.id)


def test_a_stopped_server_loses_nothing(lab: MiniLab, postgresql: Server) -> None:
    before = automatic_scores(lab.instance, lab.lab.id)
    folder = hand_in(lab, "eve", released_notebook(lab.master))
    handed_in = (folder / "01-Scale.ipynb").read_bytes()
    postgresql.stop()
    try:
        for attempt in (
            lambda: grade(lab),
            lambda: count_submissions(lab.instance, lab.lab.id),
            lambda: build_lab(lab.lab, lab.course, lab.instance),
        ):
            with pytest.raises(GradebookError, match=r"the server is not running.* nothing was lost"):
                attempt()
        assert (folder / "01-Scale.ipynb").read_bytes() == handed_in
        assert not (lab.instance.received / "eve").exists()
    finally:
        postgresql.start()
    assert automatic_scores(lab.instance, lab.lab.id) == before
    assert grade(lab, "eve")["eve"].score == 0.0


def test_a_server_that_stops_in_the_middle_is_one_clear_error(lab: MiniLab, postgresql: Server) -> None:
    try:
        with (
            pytest.raises(GradebookError, match=r"cannot be used .*the server was stopped"),
            one_writer(lab.instance),
            open_gradebook(lab.instance) as gradebook,
        ):
            assert gradebook.students
            postgresql.stop()
            assert gradebook.assignments
    finally:
        postgresql.start()
    require_writable(lab.instance)


def test_two_graders_take_turns(lab: MiniLab, postgresql: Server) -> None:
    """Do two `course grade` at once wait for the writer and both end well, over the same hand-ins?"""
    command = [sys.executable, str(ROOT / ".venv-staff" / "bin" / "course"), "grade", lab.lab.id, "--json"]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with contextlib.ExitStack() as ended:
        with one_writer(lab.instance):
            started = [
                ended.enter_context(
                    subprocess.Popen(
                        [*command, "--instance", str(lab.instance.root)],
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(2)
            ]
            end = time.monotonic() + 60
            while postgresql.sql(waiting) != "2":
                assert time.monotonic() < end, "the graders do not wait"
                time.sleep(0.2)
        results = [(*process.communicate(timeout=240), process.returncode) for process in started]
    for out, err, status in results:
        assert status == 0, err
        found = {item["student"]: (item["score"], item["failure"]) for item in json.loads(out)}
        assert found == {"ada": (90.0, ""), "bob": (40.0, "")}
    assert count_submissions(lab.instance, lab.lab.id) == 2


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_the_second_writer_waits_and_then_gives_up(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    instance = Instance(tmp_path)
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
        _write_setting(instance, url)
    with one_writer(instance):
        started = time.monotonic()
        with (
            pytest.raises(GradebookError, match=r"another program holds it\. Nothing was changed"),
            one_writer(instance, patience=0.5),
        ):
            pass
        assert 0.4 < time.monotonic() - started < 10
    with one_writer(instance, patience=0.5):
        pass


def test_a_locked_table_is_noticed_before_any_work(lab: MiniLab) -> None:
    with open_gradebook(lab.instance) as holder:
        holder.db.connection().exec_driver_sql("LOCK TABLE grade IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(GradebookError, match="another program holds it"):
            require_writable(lab.instance, patience=0.2)
    require_writable(lab.instance, patience=0.2)


def _drop(lab: MiniLab, server: Server) -> None:
    server.sql(f"DROP DATABASE {_database(lab)}")


def _no_role(lab: MiniLab, server: Server) -> None:
    _write(lab, server.url(_database(lab)).replace("///", "//nobody@/"))


def _read_only(lab: MiniLab, server: Server) -> None:
    server.sql(f"ALTER DATABASE {_database(lab)} SET default_transaction_read_only = on")


def _empty(lab: MiniLab, server: Server) -> None:
    _write(lab, server.new_database())


def _database(lab: MiniLab) -> str:
    return str(make_url(lab.instance.gradebook_url).database)


def _write(lab: MiniLab, url: str) -> None:
    _write_setting(lab.instance, url)


def _write_setting(instance: Instance, url: str) -> None:
    instance.settings_file.write_text(f'gradebook = "{url}"\n', "utf-8")


@pytest.mark.parametrize(
    ("damage", "meaning"),
    [
        (_drop, r"no such database\. As the account postgres: createdb --owner=\w+ gradebook\d+"),
        (_no_role, "under its own name only|createuser nobody"),
        (_read_only, "it is read-only"),
        (_empty, "there is no gradebook at postgresql:///gradebook.*: build a lab"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(
    lab: MiniLab, postgresql: Server, damage: Callable[[MiniLab, Server], None], meaning: str
) -> None:
    damage(lab, postgresql)
    with pytest.raises(GradebookError, match=meaning):
        require_writable(lab.instance)


def test_a_role_without_rights_is_told_what_to_grant(lab: MiniLab, postgresql: Server) -> None:
    """Only reading and adding is granted, so that changing a score would fail after an hour of grading."""
    postgresql.sql("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    postgresql.sql("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO reader", _database(lab))
    _write(lab, f"{postgresql.url(_database(lab))}&options=-crole=reader")
    with pytest.raises(GradebookError, match=r"permission denied.*GRANT ALL ON ALL TABLES"):
        require_writable(lab.instance)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ('could not extend file "base/1/2": No space left on device', "disk is full"),
        ('FATAL:  role "ta" does not exist', "createuser"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("fe_sendauth: no password supplied", "pgpass"),
        ("something new", "server's log"),
    ],
)
def test_messages_of_the_server_have_advice(message: str, meaning: str) -> None:
    assert meaning in advice(make_url("postgresql:///gradebook"), RuntimeError(message))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://ta:hunter2@db/gradebook", "the URL holds a password.*pgpass"),
        ("postgresql:///gradebook?password=hunter2", "the URL holds a password.*pgpass"),
        ("mysql://db/hunter2", "mysql is not supported; use SQLite or PostgreSQL"),
        ("postgresql+psycopg2://db", "names no database"),
        ("sqlite://", "names no database"),
        ("gradebook hunter2", "this is no database URL"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(tmp_path: Path, url: str, problem: str) -> None:
    instance = Instance(tmp_path)
    instance.settings_file.write_text(f'gradebook = "{url}"\n', "utf-8")
    with pytest.raises(ConfigurationError, match=problem) as caught:
        assert instance.gradebook_url
    assert "hunter2" not in str(caught.value)


def test_a_database_is_named_as_psql_takes_it() -> None:
    url = make_url("postgresql+psycopg2://ta:hunter2@/gradebook?host=/run/postgresql")
    assert shown(url) == "postgresql://ta:***@/gradebook?host=/run/postgresql"


def test_a_relative_sqlite_file_lies_in_the_instance(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    instance.settings_file.write_text('gradebook = "sqlite:///grades/book.db"\n', "utf-8")
    assert instance.gradebook_url == f"sqlite:///{tmp_path}/grades/book.db"


def test_two_workers_and_a_killed_command_leave_every_grade_once(lab: MiniLab) -> None:
    for number in range(4):
        slow = f"import time; time.sleep(0.4)\ndef scale_tensor(x, factor): return torch.round(x * factor)  # {number}"
        hand_in(lab, f"new{number}", replace_solution(lab.reference(), "scale_tensor", slow))
    command = [sys.executable, "-m", "autograder", "grade", lab.lab.id, "--workers", "2", "--json"]
    process = subprocess.Popen(
        [*command, "--instance", str(lab.instance.root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    before = len(list(Receipts(lab.instance.receipts).read()))
    end = time.monotonic() + 90
    while len(list(Receipts(lab.instance.receipts).read())) == before and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    graded = grade_lab(lab.instance, lab.lab.id, limits=FAST, engine=Engine(workers=2))
    assert {item.student: item.score for item in graded if item.student.startswith("new")} == {
        f"new{number}": 90.0 for number in range(4)
    }
    assert audit(lab.instance).problems == []


def test_a_new_semester_stores_the_gradebook_before_it_empties_it(
    lab: MiniLab, postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody reads, nothing is touched; what is stored is never replaced."""
    monkeypatch.setattr(emptied, "PATIENCE", 0.5)
    aside = tmp_path / "aside"
    aside.mkdir()
    with open_gradebook(lab.instance) as gradebook, quiet():
        assert len(gradebook.students) == 2  # which leaves a transaction open, as formgrader's pages would
        with pytest.raises(GradebookError, match=r"is open elsewhere .*Nothing was changed"):
            emptied.require_nobody_works(lab.instance)
    emptied.require_nobody_works(lab.instance)
    (aside / "gradebook.dump").write_text("stored before")
    emptied.empty_gradebook(lab.instance, aside)
    assert not gradebook_exists(lab.instance)
    emptied.empty_gradebook(lab.instance, aside)  # run again: what is stored stays
    listed = subprocess.run(
        ["pg_restore", "--list", str(aside / "gradebook.dump.later")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "TABLE DATA public submitted_assignment" in listed.stdout
    assert sorted(path.name for path in aside.iterdir()) == ["gradebook.dump", "gradebook.dump.later"]
    assert (aside / "gradebook.dump").read_text() == "stored before"
    create_gradebook(lab.instance)
    with open_gradebook(lab.instance) as gradebook, quiet():
        assert gradebook.students == []
