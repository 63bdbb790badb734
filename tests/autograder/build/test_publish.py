"""Releasing: what is built goes out whole, once, and what went out is known."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.build import outbound
from autograder.build.builder import build_lab
from autograder.build.outbound import destination
from autograder.build.publish import Plan, labs_of_week, plan_releases, release_labs, require_erratum
from autograder.build.released import Release, read_releases, record_file, releasing
from autograder.course import COURSE_ID, ROOT, Course, Instance, load_course
from autograder.errors import BuildError, ConfigurationError, CourseError
from tests.conftest import MiniLab

Source = Callable[[Callable[[str], str]], Path]
LAB = "Lab-0.1-Mini"
NAME = "01-Scale.ipynb"
WHY = "The first check named the wrong values."


def corrected(text: str) -> str:
    """The erratum of these tests: one check with another hint, one more Markdown cell."""
    text = text.replace('hint="round after scaling"', 'hint="scale first, then round"')
    return text.replace("# A picture", "# A new cell.\n\n# %% [markdown]\n# A picture")


def release(mini: MiniLab, erratum: str | None = None, course: Course | None = None) -> Plan:
    """What `course release` does for the small lab."""
    course = course or mini.course
    with releasing(mini.instance):
        plans = plan_releases(course.labs, course, mini.instance)
        require_erratum(plans, erratum)
        release_labs(plans, course, mini.instance, erratum)
    return plans[0]


def rebuild(mini: MiniLab, source: Source, edit: Callable[[str], str] = corrected) -> Course:
    """Build a changed lab into the instance."""
    course = load_course(source(edit) / "course.toml")
    build_lab(course.labs[0], course, mini.instance)
    return course


def digest(folder: Path) -> str:
    """A hash over every name, mode, time of change and content below a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        total.update(f"{path} {status.st_mode} {status.st_mtime_ns}".encode())
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def students_see(mini: MiniLab) -> dict[str, bytes]:
    """The published files."""
    return {path.name: path.read_bytes() for path in destination(mini.instance, LAB).iterdir()}


def entries(instance: Instance) -> list[Release]:
    """The record of the small lab."""
    return read_releases(instance)[LAB]


def test_a_first_release_is_what_was_built(fresh_mini: MiniLab) -> None:
    plan = release(fresh_mini)
    assert (plan.state, plan.changed) == ("new", {})
    built = (fresh_mini.instance.release / LAB / NAME).read_bytes()
    assert students_see(fresh_mini) == {NAME: built}
    (entry,) = entries(fresh_mini.instance)
    assert (entry.version, entry.week, entry.erratum, entry.published) == (
        fresh_mini.bundle.version,
        1,
        "",
        True,
    )
    assert entry.time.endswith("+00:00")


def test_the_folders_have_nbgraders_permissions(fresh_mini: MiniLab) -> None:
    (fresh_mini.instance.release / LAB / NAME).chmod(0o600)
    release(fresh_mini)
    folder = destination(fresh_mini.instance, LAB)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder / NAME, folder, folder.parent)}
    assert list(modes.values()) == [0o644, 0o755, 0o755]
    assert stat.S_IMODE((folder.parent.parent / "inbound").stat().st_mode) == 0o2733
    assert stat.S_IMODE(record_file(fresh_mini.instance).stat().st_mode) == 0o600


def test_a_plan_changes_nothing(fresh_mini: MiniLab) -> None:
    before = digest(fresh_mini.instance.root)
    (plan,) = plan_releases(fresh_mini.course.labs, fresh_mini.course, fresh_mini.instance)
    assert plan.state == "new" and digest(fresh_mini.instance.root) == before
    release(fresh_mini)
    before = digest(fresh_mini.instance.root)
    (plan,) = plan_releases(fresh_mini.course.labs, fresh_mini.course, fresh_mini.instance)
    assert plan.state == "unchanged" and digest(fresh_mini.instance.root) == before


def test_the_same_content_again_changes_nothing(fresh_mini: MiniLab) -> None:
    release(fresh_mini)
    before = digest(fresh_mini.instance.root)
    assert release(fresh_mini).state == "unchanged"
    assert digest(fresh_mini.instance.root) == before


def test_a_changed_hidden_test_is_nothing_new_for_students(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    course = rebuild(fresh_mini, mini_source, lambda text: text.replace("torch.rand(50,", "torch.rand(60,"))
    assert release(fresh_mini, course=course).state == "unchanged"


def test_an_erratum_needs_a_text(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    course = rebuild(fresh_mini, mini_source)
    before = students_see(fresh_mini), record_file(fresh_mini.instance).read_bytes()
    for text, message in ((None, 'one line of text"'), ("", "one line"), ("two\nlines", "one line")):
        with pytest.raises(ConfigurationError, match=message):
            release(fresh_mini, text, course)
    assert before == (students_see(fresh_mini), record_file(fresh_mini.instance).read_bytes())


def test_an_erratum_is_published_recorded_and_announced(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    course = rebuild(fresh_mini, mini_source)
    plan = release(fresh_mini, f" {WHY} ", course)
    # the cells after the new one have other names now, and are not listed
    assert (plan.state, plan.changed) == ("erratum", {NAME: ["scale_tensor-1", "test_scale_tensor"]})
    seen = students_see(fresh_mini)
    assert seen[NAME] == (fresh_mini.instance.release / LAB / NAME).read_bytes()
    assert sorted(seen) == [NAME, "ERRATA.md"]
    errata = seen["ERRATA.md"].decode()
    assert f"(UTC)\n\n{WHY}\n\nChanged:\n\n- {NAME}: scale_tensor-1, test_scale_tensor\n" in errata
    first, second = entries(fresh_mini.instance)
    assert (first.erratum, second.erratum, second.changed) == ("", WHY, plan.changed)
    assert second.version != first.version and second.published
    assert release(fresh_mini, WHY, course).state == "unchanged"


def test_the_newest_erratum_comes_first(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    course = rebuild(fresh_mini, mini_source)
    release(fresh_mini, "first", course)
    source = course.labs[0].source / "01-Scale.py"
    source.write_text(source.read_text("utf-8").replace("A new cell.", "A newer cell."), "utf-8")
    build_lab(course.labs[0], course, fresh_mini.instance)
    plan = release(fresh_mini, "second", course)
    assert plan.changed == {NAME: ["scale_tensor-1"]}
    errata = students_see(fresh_mini)["ERRATA.md"].decode()
    assert errata.index("second") < errata.index("first")


def test_whoever_looks_sees_a_whole_folder(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    course = rebuild(fresh_mini, mini_source)
    place, seen, done = destination(fresh_mini.instance, LAB), set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            with contextlib.suppress(FileNotFoundError):
                seen.add(tuple(sorted(path.name for path in place.iterdir())))

    watcher = threading.Thread(target=look)
    watcher.start()
    release(fresh_mini, WHY, course)
    done.set()
    watcher.join()
    assert (NAME,) in seen and seen <= {(NAME,), (NAME, "ERRATA.md")}


def test_nbgrader_lists_and_fetches_it(fresh_mini: MiniLab, mini_source: Source, tmp_path: Path) -> None:
    release(fresh_mini)
    release(fresh_mini, WHY, rebuild(fresh_mini, mini_source))
    destination(fresh_mini.instance, f".{LAB}.old").mkdir(exist_ok=True)
    home = tmp_path / "home"
    home.mkdir()
    (home / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.Exchange.root = {str(fresh_mini.instance.exchange)!r}\n"
        f"c.CourseDirectory.course_id = {COURSE_ID!r}\n"
    )
    said = ""
    for command in (["list"], ["fetch_assignment", LAB]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command],
            cwd=home,
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said += done.stderr
    assert f"{COURSE_ID} {LAB}\n" in said and ".old" not in said
    assert {path.name: path.read_bytes() for path in (home / LAB).iterdir()} == students_see(fresh_mini)


def test_there_is_nothing_to_correct_before_a_release(fresh_mini: MiniLab) -> None:
    with pytest.raises(ConfigurationError, match="release it without --erratum"):
        release(fresh_mini, WHY)
    assert not fresh_mini.instance.exchange.exists()


def test_a_withdrawn_lab_is_an_erratum_when_it_changed(fresh_mini: MiniLab, mini_source: Source) -> None:
    """formgrader can withdraw a release; students may have fetched it all the same."""
    release(fresh_mini)
    outbound.shutil.rmtree(destination(fresh_mini.instance, LAB))
    course = rebuild(fresh_mini, mini_source)
    with pytest.raises(ConfigurationError, match="differs from what students have"):
        release(fresh_mini, course=course)
    release(fresh_mini, WHY, course)
    assert "ERRATA.md" in students_see(fresh_mini)


def test_what_nbgrader_itself_released_is_known(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    record_file(fresh_mini.instance).unlink()
    assert release(fresh_mini).state == "unchanged"
    (entry,) = entries(fresh_mini.instance)
    assert entry.published and entry.version == ""
    record_file(fresh_mini.instance).unlink()
    assert release(fresh_mini, WHY, rebuild(fresh_mini, mini_source)).state == "erratum"
    assert len(entries(fresh_mini.instance)) == 2


@pytest.mark.parametrize("released", [True, False])
def test_graded_cells_are_fixed_once_released(
    fresh_mini: MiniLab, mini_source: Source, released: bool
) -> None:
    def renamed(text: str) -> str:
        return text.replace('"grade_id": "test_largest"', '"grade_id": "test_largest_value"')

    if not released:
        rebuild(fresh_mini, mini_source, renamed)
        return
    release(fresh_mini)
    with pytest.raises(
        BuildError, match=r"01-Scale: test_largest_value\) although the lab was released. Keep the old"
    ):
        rebuild(fresh_mini, mini_source, renamed)


def test_solution_cells_keep_their_names_once_released(fresh_mini: MiniLab, mini_source: Source) -> None:
    release(fresh_mini)
    with pytest.raises(BuildError, match=r"solution cells were removed \(01-Scale: largest\)"):
        rebuild(
            fresh_mini,
            mini_source,
            lambda text: text.replace('"grade_id": "largest"', '"grade_id": "biggest"'),
        )


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "scratch": (lambda folder: (folder / "solutions.txt").write_text("42"), r"solutions\.txt: this is no file"),
    "hidden": (lambda folder: (folder / ".notes").write_text("42"), r"\.notes: this is no file of the lab"),
    "link": (lambda folder: (folder / "README.md").symlink_to("/etc/hostname"), "not a regular file"),
    "folder": (lambda folder: (folder / "notes.txt").mkdir(), "not a regular file"),
    "no notebook": (lambda folder: (folder / NAME).unlink(), "cannot be read .*: build it again"),
    "no JSON": (lambda folder: (folder / NAME).write_text("{"), "cannot be read .*: build it again"),
    "text": (lambda folder: edit_cell(folder, source="42"), r"cell 2 \(setup\): it is not the cell that was built"),
    "output": (lambda folder: edit_cell(folder, outputs=[{"text": "42"}]), r"cell 2 \(setup\): it is not the cell"),
    "metadata": (lambda folder: edit_cell(folder, metadata={}), r"cell 2 .*: it is not the cell"),
    "cells": (lambda folder: edit_notebook(folder, lambda nb: nb["cells"].pop()), "not the notebook that was built"),
}  # fmt: skip


def edit_notebook(folder: Path, edit: Callable[[dict], object]) -> None:
    """Change a released notebook as a person might in JupyterLab."""
    notebook = json.loads((folder / NAME).read_text("utf-8"))
    edit(notebook)
    (folder / NAME).write_text(json.dumps(notebook), "utf-8")


def edit_cell(folder: Path, **fields: object) -> None:
    """Change the set-up cell."""
    edit_notebook(folder, lambda notebook: notebook["cells"][1].update(fields))


@pytest.mark.parametrize("name", BAD)
def test_what_was_not_built_is_refused_by_name(fresh_mini: MiniLab, name: str) -> None:
    spoil, message = BAD[name]
    spoil(fresh_mini.instance.release / LAB)
    before = digest(fresh_mini.instance.root)
    with pytest.raises(BuildError, match=message):
        plan_releases(fresh_mini.course.labs, fresh_mini.course, fresh_mini.instance)
    assert digest(fresh_mini.instance.root) == before


def test_files_that_the_course_names_go_out_and_checkpoints_stay(fresh_mini: MiniLab) -> None:
    folder = fresh_mini.instance.release / LAB
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / NAME).write_bytes((folder / NAME).read_bytes())
    for name in ("README.md", "notes.txt"):
        (folder / name).write_text("for students")
    release(fresh_mini)
    assert sorted(students_see(fresh_mini)) == [NAME, "README.md", "notes.txt"]
    (folder / "README.md").write_text("for students, again")
    assert release(fresh_mini, WHY).changed == {"README.md": ["the text"]}


def test_a_lab_that_was_not_built_says_so(fresh_mini: MiniLab, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="build the lab first"):
        plan_releases(fresh_mini.course.labs, fresh_mini.course, Instance(tmp_path / "other"))
    outbound.shutil.rmtree(fresh_mini.instance.release)
    with pytest.raises(BuildError, match=f"is missing: build it again .course build {LAB}."):
        plan_releases(fresh_mini.course.labs, fresh_mini.course, fresh_mini.instance)


def test_an_exchange_that_cannot_be_written_changes_nothing(fresh_mini: MiniLab) -> None:
    (fresh_mini.instance.root / "file").write_text("")
    fresh_mini.instance.settings_file.write_text(f'exchange = "{fresh_mini.instance.root}/file/exchange"')
    with pytest.raises(
        CourseError, match=r"could not be published in .*Not a directory.*run the same command again"
    ):
        release(fresh_mini)
    assert read_releases(fresh_mini.instance) == {}


def test_a_build_while_a_release_is_copied_stops_it(fresh_mini: MiniLab, mini_source: Source) -> None:
    plans = plan_releases(fresh_mini.course.labs, fresh_mini.course, fresh_mini.instance)
    rebuild(fresh_mini, mini_source)
    with pytest.raises(CourseError, match="changed while it was copied; run the command again"):
        release_labs(plans, fresh_mini.course, fresh_mini.instance, None)
    assert not destination(fresh_mini.instance, LAB).exists() and read_releases(fresh_mini.instance) == {}
    assert release(fresh_mini).state == "new"


def test_a_damaged_record_is_not_overwritten(fresh_mini: MiniLab) -> None:
    record_file(fresh_mini.instance).write_text("{")
    with pytest.raises(ConfigurationError, match=r"releases\.json cannot be read .*restore it from a backup"):
        release(fresh_mini)
    assert record_file(fresh_mini.instance).read_text() == "{"


KILLED = """
import os, signal, sys
from pathlib import Path
from autograder.build.publish import plan_releases, release_labs
from autograder.build.released import releasing
from autograder.course import Instance, load_course

left = int(sys.argv[3])
rename = Path.rename
def counted(path, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    done = rename(path, target)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = counted
course, instance = load_course(Path(sys.argv[1])), Instance(Path(sys.argv[2]))
with releasing(instance):
    release_labs(plan_releases(course.labs, course, instance), course, instance, sys.argv[4] or None)
"""


def kill(course: Course, instance: Instance, renames: int, erratum: str) -> None:
    """Release in a process that is killed after so many renames; with 0, right before the first."""
    toml = course.labs[0].root / "course.toml"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(toml), str(instance.root), str(renames), erratum],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("renames", "visible"), [(0, "old"), (1, "none"), (2, "new")])
def test_a_killed_erratum_is_finished_by_the_same_command(
    fresh_mini: MiniLab, mini_source: Source, renames: int, visible: str
) -> None:
    release(fresh_mini)
    old = students_see(fresh_mini)
    course = rebuild(fresh_mini, mini_source)
    kill(course, fresh_mini.instance, renames, WHY)
    place = destination(fresh_mini.instance, LAB)
    state = "none" if not place.exists() else "old" if students_see(fresh_mini) == old else "new"
    assert state == visible
    before = digest(fresh_mini.instance.root)
    (plan,) = plan_releases(course.labs, course, fresh_mini.instance)
    assert plan.state == ("unchanged" if visible == "new" else "erratum")
    assert digest(fresh_mini.instance.root) == before
    release(fresh_mini, WHY, course)
    assert sorted(students_see(fresh_mini)) == [NAME, "ERRATA.md"]
    assert [path.name for path in place.parent.glob("[!.]*")] == [LAB]
    assert [(entry.erratum, entry.published) for entry in entries(fresh_mini.instance)] == [
        ("", True),
        (WHY, True),
    ]
    assert entries(fresh_mini.instance)[1].changed == {NAME: ["scale_tensor-1", "test_scale_tensor"]}


@pytest.mark.parametrize("renames", [0, 1])
def test_a_killed_first_release_is_finished_too(fresh_mini: MiniLab, renames: int) -> None:
    kill(fresh_mini.course, fresh_mini.instance, renames, "")
    assert destination(fresh_mini.instance, LAB).exists() == bool(renames)
    release(fresh_mini)
    assert [entry.published for entry in entries(fresh_mini.instance)] == [True]
    assert sorted(students_see(fresh_mini)) == [NAME]


def hold(root: Path, locked: object, free: object) -> None:
    """Hold the lock until told to let go."""
    with releasing(Instance(root)):
        locked.set()  # type: ignore[attr-defined]
        free.wait(60)  # type: ignore[attr-defined]


def test_a_second_release_at_the_same_time_is_refused(fresh_mini: MiniLab) -> None:
    context = multiprocessing.get_context("spawn")
    locked, free = context.Event(), context.Event()
    other = context.Process(target=hold, args=(fresh_mini.instance.root, locked, free))
    other.start()
    try:
        assert locked.wait(60)
        with pytest.raises(
            CourseError, match=r"another release .* is running and nothing was changed by this one"
        ):
            release(fresh_mini)
    finally:
        free.set()
        other.join(60)
    assert release(fresh_mini).state == "new"


def test_a_week_selects_its_labs(fresh_mini: MiniLab) -> None:
    first = fresh_mini.lab
    labs = (first, replace(first, id="Lab-0.2", week=2), replace(first, id="Lab-0.3", week=2))
    course = replace(fresh_mini.course, labs=labs)
    assert [lab.id for lab in labs_of_week(course, 2)] == ["Lab-0.2", "Lab-0.3"]
    with pytest.raises(ConfigurationError, match="in week 7; the weeks are: 1, 2"):
        labs_of_week(course, 7)
