"""Updating a lab: the course's cells become new, nothing a student wrote is lost."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labkit.exchange import UpdateError
from labkit.merge import NotANotebook, mark, merge, text_of
from labkit.update import update_lab

from labkit import exchange

LAB = "Lab-0.1-Mini"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(exchange.__file__).parent.parent)}
Notebook = dict[str, Any]


def cell(kind: str, name: str, source: str, **about: object) -> dict[str, Any]:
    """A released cell; with `about`, which says what nbgrader does with it."""
    made: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": source}
    if about or kind == "code":
        made["metadata"]["nbgrader"] = {
            "grade_id": name,
            "solution": False,
            "grade": False,
            "checksum": source,
        } | about
    if kind == "code":
        made |= {"outputs": [], "execution_count": None}
    return made


def notebook(*cells: dict[str, Any]) -> Notebook:
    """A notebook of format 4.5."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return {"cells": copy.deepcopy(list(cells)), "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


OLD = notebook(
    cell("markdown", "start-1", "# Scaling"),
    cell("code", "setup", "import torch", locked=True),
    cell("markdown", "setup-1", "Read this."),
    cell("code", "solve", "def solve():\n    raise NotImplementedError()", solution=True),
    cell("markdown", "solve-1", "Now run it."),
    cell("code", "solve-2", "print(solve())", locked=True),
    cell("code", "test_solve", "assert solve() == 1", grade=True, locked=True),
    cell("markdown", "test_solve-1", "This was wrong."),
    cell("markdown", "question", "YOUR ANSWER HERE", solution=True, grade=True),
)
NEW = notebook(
    cell("markdown", "start-1", "# Scaling a tensor"),
    cell("code", "setup", "import torch", locked=True),
    cell("markdown", "setup-1", "A note."),
    cell("markdown", "setup-2", "Read this."),
    cell("code", "solve", "def solve():\n    raise NotImplementedError()", solution=True),
    cell("markdown", "solve-1", "Now run it."),
    cell("code", "solve-2", "print(solve())", locked=True),
    cell("code", "test_solve", "assert solve() == 2", grade=True, locked=True),
    cell("markdown", "question", "YOUR ANSWER HERE", solution=True, grade=True),
)
EARLIER = frozenset(mark(item) for item in OLD["cells"]) - {mark(item) for item in NEW["cells"]}


def texts(found: Notebook) -> list[str]:
    """Sources in order."""
    return [text_of(item) for item in found["cells"]]


def find(found: Notebook, name: str) -> dict[str, Any]:
    """The cell with this id."""
    return next(item for item in found["cells"] if item["id"] == name)


def student(**solutions: str) -> Notebook:
    """The old release with some cells' text replaced, by id with _ for -."""
    mine = copy.deepcopy(OLD)
    for name, source in solutions.items():
        find(mine, name.replace("_", "-") if name[-1].isdigit() else name)["source"] = source
    return mine


def own(source: str, name: str = "a1b2c3d4", kind: str = "code") -> dict[str, Any]:
    """A cell that a student added."""
    made = cell(kind, name, source)
    made["metadata"] = {}
    return made


def test_an_untouched_notebook_becomes_the_new_release() -> None:
    merged = merge(OLD, NEW, EARLIER)
    assert merged.notebook == NEW and merged.changed
    assert merged.updated == ["start-1", "test_solve"] and merged.added == ["setup-1"]
    assert (merged.kept, merged.replaced) == ([], [])


def test_solutions_and_answers_stay() -> None:
    merged = merge(student(solve="def solve(): return 2", question="because"), NEW, EARLIER)
    expected = copy.deepcopy(NEW)
    find(expected, "solve")["source"] = "def solve(): return 2"
    find(expected, "question")["source"] = "because"
    assert merged.notebook == expected


def test_own_cells_follow_the_cell_they_followed() -> None:
    mine = student()
    mine["cells"].insert(0, own("first", "x0"))
    mine["cells"].insert(4, own("after read this", "x1", "markdown"))
    mine["cells"].append(own("last", "x2", "raw"))
    found = texts(merge(mine, NEW, EARLIER).notebook)
    assert (found[0], found[-1]) == ("first", "last")
    assert found[found.index("Read this.") + 1] == "after read this"


def test_a_note_in_the_courses_own_markdown_becomes_a_cell_of_its_own() -> None:
    merged = merge(student(solve_1="Now run it. I got 2."), NEW, EARLIER)
    found = texts(merged.notebook)
    assert found[found.index("Now run it.") + 1] == "Now run it. I got 2."
    assert merge(merged.notebook, NEW, EARLIER).changed is False


def test_a_copy_of_the_courses_text_stays() -> None:
    mine = student()
    mine["cells"].insert(2, own("print(solve())"))
    assert texts(merge(mine, NEW, EARLIER).notebook).count("print(solve())") == 2


def test_outputs_stay_where_the_text_stayed() -> None:
    mine = student(solve="def solve(): return 2")
    for name in ("solve", "solve-2", "test_solve"):
        find(mine, name).update(outputs=[{"output_type": "stream", "text": name}], execution_count=3)
    merged = merge(mine, NEW, EARLIER).notebook
    assert [bool(find(merged, name)["outputs"]) for name in ("solve", "solve-2", "test_solve")] == [
        True,
        True,
        False,
    ]
    assert (
        find(merged, "solve")["execution_count"] == 3
        and find(merged, "test_solve")["execution_count"] is None
    )


def test_a_deleted_solution_comes_back_as_released() -> None:
    mine = student()
    mine["cells"] = [item for item in mine["cells"] if item["id"] != "solve"]
    merged = merge(mine, NEW, EARLIER)
    assert merged.notebook == NEW and "solve" in merged.added


def test_a_second_solution_cell_is_kept_without_its_grade() -> None:
    mine = student(solve="def solve(): return 1")
    second = copy.deepcopy(find(mine, "solve")) | {"source": "def solve(): return 2"}
    mine["cells"].insert(4, second)
    merged = merge(mine, NEW, EARLIER).notebook
    assert find(merged, "solve")["source"] == "def solve(): return 1"
    assert (
        find(merged, "own-1")["source"] == "def solve(): return 2" and find(merged, "own-1")["metadata"] == {}
    )


def test_a_changed_locked_cell_is_replaced_and_named() -> None:
    merged = merge(student(test_solve="assert True"), NEW, EARLIER)
    assert merged.notebook == NEW and merged.replaced == ["test_solve"]


def test_a_new_stub_reaches_those_who_have_not_started_and_is_named_to_the_others() -> None:
    newer = copy.deepcopy(NEW)
    newer["cells"][4] = cell("code", "solve", "def solve(x):\n    raise NotImplementedError()", solution=True)
    earlier = EARLIER | {mark(find(OLD, "solve"))}
    assert merge(OLD, newer, earlier).notebook == newer
    merged = merge(student(solve="def solve(): return 2"), newer, earlier)
    assert merged.kept == ["solve"] and find(merged.notebook, "solve")["source"] == "def solve(): return 2"
    assert merge(merged.notebook, newer, earlier).kept == []


def test_a_kernel_that_the_student_chose_stays() -> None:
    mine = student()
    mine["metadata"] = {"kernelspec": {"name": "laptop"}, "language_info": {"version": "3.11.9"}}
    assert merge(mine, NEW, EARLIER).notebook["metadata"] == mine["metadata"]


def test_cells_without_ids_are_known_by_their_text() -> None:
    mine = student(solve="def solve(): return 2")
    for item in mine["cells"]:
        del item["id"]
    merged = merge(mine, NEW, EARLIER).notebook
    assert find(merged, "solve")["source"] == "def solve(): return 2"
    assert [item["id"] for item in merged["cells"] if not item["id"].startswith("own-")] == [
        item["id"] for item in NEW["cells"]
    ]


BROKEN: list[Any] = [
    [],
    {"cells": 1, "nbformat": 4},
    {"cells": [], "nbformat": 3},
    {"cells": [1], "nbformat": 4},
    {"cells": [{"cell_type": "code", "source": [1]}], "nbformat": 4},
    {"cells": [{"cell_type": "code"}], "nbformat": 4},
]


@pytest.mark.parametrize("mine", BROKEN)
def test_what_is_no_notebook_is_refused(mine: Any) -> None:
    with pytest.raises(NotANotebook):
        merge(mine, NEW)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)
OWN = st.builds(
    lambda kind, text: own(f"mine: {text}", "", kind), st.sampled_from(["code", "markdown", "raw"]), WORDS
)


@st.composite
def students(draw: st.DrawFn) -> Notebook:
    """What may become of the old release: solved or not, cells added, deleted, moved, run."""
    mine = copy.deepcopy(OLD)
    for name in ("solve", "question"):
        if draw(st.booleans()):
            find(mine, name)["source"] = f"solved: {draw(WORDS)}"
    mine["cells"] = [item for item in mine["cells"] if draw(st.integers(0, 9))]
    if not draw(st.integers(0, 4)):
        mine["cells"] = draw(st.permutations(mine["cells"]))
    for item in draw(st.lists(OWN, max_size=5)):
        mine["cells"].insert(draw(st.integers(0, len(mine["cells"]))), copy.deepcopy(item))
    for number, item in enumerate(mine["cells"]):
        if not item["id"]:
            item["id"] = f"id{number}"
    for item in mine["cells"]:
        if item["cell_type"] == "code" and draw(st.booleans()):
            item.update(outputs=[{"output_type": "stream", "text": draw(WORDS)}], execution_count=1)
    return mine


@settings(deadline=None, max_examples=300)
@given(students(), st.sampled_from([frozenset(), EARLIER]))
def test_nothing_a_student_wrote_is_lost(mine: Notebook, earlier: frozenset[str]) -> None:
    before = copy.deepcopy(mine)
    merged = merge(mine, NEW, earlier)
    assert mine == before
    found = texts(merged.notebook)
    for item in mine["cells"]:
        if text_of(item).startswith(("solved:", "mine:")):
            assert found.count(text_of(item)) == texts(mine).count(text_of(item))
    ids = [item["id"] for item in merged.notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if name in {item["id"] for item in NEW["cells"]}] == [
        item["id"] for item in NEW["cells"]
    ]
    nbformat.validate(nbformat.from_dict(_valid(merged.notebook)))


@settings(deadline=None, max_examples=300)
@given(students(), st.sampled_from([frozenset(), EARLIER]))
def test_merging_twice_is_merging_once(mine: Notebook, earlier: frozenset[str]) -> None:
    once = merge(mine, NEW, earlier).notebook
    twice = merge(once, NEW, earlier)
    assert twice.notebook == once and not twice.changed


def _valid(found: Notebook) -> Notebook:
    """The notebook with the outputs of these tests made whole."""
    found = copy.deepcopy(found)
    for item in found["cells"]:
        for output in item.get("outputs", []):
            output["name"] = "stdout"
    return found


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's folder with the old release, and the new one in an exchange named by COURSE_EXCHANGE."""
    outbound = tmp_path / "exchange" / "course" / "outbound" / LAB
    outbound.mkdir(parents=True)
    nbformat.write(nbformat.from_dict(NEW), outbound / "01-Scale.ipynb")
    errata = f"# Errata\n\n<!-- cells of earlier releases: {' '.join(sorted(EARLIER))} -->\n"
    (outbound / "ERRATA.md").write_text(errata, "utf-8")
    (outbound / "README.md").write_text("new")
    (outbound / "notes.txt").write_text("template")
    mine = tmp_path / "home" / LAB
    mine.mkdir(parents=True)
    nbformat.write(nbformat.from_dict(OLD), mine / "01-Scale.ipynb")
    (mine / "README.md").write_text("old")
    (mine / "notes.txt").write_text("my notes")
    monkeypatch.setenv("COURSE_EXCHANGE", str(tmp_path / "exchange"))
    monkeypatch.chdir(mine.parent)
    return mine


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and times of change of the files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_untouched_file_becomes_the_released_bytes(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {name: content for name, (content, _) in tree(lab).items()}
    update_lab(LAB)
    released = lab.parent.parent / "exchange" / "course" / "outbound" / LAB
    for name in ("01-Scale.ipynb", "README.md", "ERRATA.md"):
        assert (lab / name).read_bytes() == (released / name).read_bytes()
    assert (lab / "notes.txt").read_text() == "my notes"
    (backup,) = lab.parent.glob(f"{LAB}-before-update-*")
    assert re.fullmatch(rf"{LAB}-before-update-\d{{8}}T\d{{6}}Z", backup.name)
    assert {path.name: path.read_bytes() for path in backup.iterdir()} == {
        name: old[name] for name in ("01-Scale.ipynb", "README.md")
    }
    printed = capsys.readouterr().out
    assert "01-Scale.ipynb: updated start-1, test_solve; added setup-1\n" in printed
    assert f"Your old files are in {backup}." in printed


def test_a_second_run_changes_nothing_and_says_so(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update_lab(LAB)
    before = tree(lab.parent)
    capsys.readouterr()
    update_lab(LAB)
    assert tree(lab.parent) == before
    assert f"{LAB}: nothing newer was released, nothing was changed" in capsys.readouterr().out


def test_it_can_be_called_from_a_cell_inside_the_folder(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    update_lab(LAB)
    assert (lab / "ERRATA.md").exists()


def test_a_notebook_that_cannot_be_read_is_left_alone_and_named(lab: Path) -> None:
    (lab / "01-Scale.ipynb").write_text("<<<<<<< HEAD")
    done = subprocess.run(
        [sys.executable, "-m", "labkit.update", LAB],
        cwd=lab.parent,
        capture_output=True,
        text=True,
        env=environment(lab),
    )
    assert done.returncode == 1 and done.stderr == ""
    assert "01-Scale.ipynb: left alone, it cannot be read (JSONDecodeError" in done.stdout
    assert (lab / "01-Scale.ipynb").read_text() == "<<<<<<< HEAD"
    assert (lab / "README.md").read_text() == "new"


def environment(lab: Path) -> dict[str, str]:
    """For a process: this checkout's labkit, the exchange of the fixture."""
    return {**ENVIRONMENT, "COURSE_EXCHANGE": str(lab.parent.parent / "exchange"), "HOME": str(lab.parent)}


def test_the_command_takes_a_folder_and_where_from(lab: Path) -> None:
    released = lab.parent.parent / "exchange" / "course" / "outbound"
    env = environment(lab)
    del env["COURSE_EXCHANGE"]
    command = [sys.executable, "-m", "labkit.update", str(lab), "--from"]
    for folder in (released / LAB, released):
        done = subprocess.run([*command, str(folder)], cwd="/", capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
    assert "nothing newer" in done.stdout
    done = subprocess.run([*command, "/nowhere"], cwd="/", capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr == f"error: no release of {LAB} was found in /nowhere: name its folder with --from\n"


def test_nbgraders_configuration_says_where_the_exchange_is(lab: Path) -> None:
    pytest.importorskip("nbgrader")
    env = environment(lab)
    root = env.pop("COURSE_EXCHANGE")
    (lab.parent / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.Exchange.root = {root!r}\nc.CourseDirectory.course_id = 'course'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "labkit.update", LAB], cwd=lab.parent, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    assert (lab / "ERRATA.md").exists()


def test_folders_that_are_not_there_are_named(lab: Path) -> None:
    with pytest.raises(UpdateError, match="there is no folder Lab-9 here"):
        update_lab("Lab-9")
    with pytest.raises(UpdateError, match="is the release itself"):
        update_lab(LAB, lab)


def test_a_damaged_release_changes_nothing(lab: Path) -> None:
    released = lab.parent.parent / "exchange" / "course" / "outbound" / LAB / "01-Scale.ipynb"
    released.write_text("{")
    before = tree(lab.parent)
    with pytest.raises(UpdateError, match=r"cannot be read .* tell your instructor"):
        update_lab(LAB)
    assert tree(lab.parent) == before


def test_a_missing_notebook_is_fetched_and_permissions_stay(lab: Path) -> None:
    (lab / "01-Scale.ipynb").chmod(0o600)
    update_lab(LAB)
    assert (lab / "01-Scale.ipynb").stat().st_mode & 0o777 == 0o600
    (lab / "01-Scale.ipynb").unlink()
    update_lab(LAB)
    released = lab.parent.parent / "exchange" / "course" / "outbound" / LAB
    assert (lab / "01-Scale.ipynb").read_bytes() == (released / "01-Scale.ipynb").read_bytes()


def test_half_a_surrogate_pair_does_not_stop_it(lab: Path) -> None:
    mine = student(solve="SOLVED")
    (lab / "01-Scale.ipynb").write_text(json.dumps(mine).replace("SOLVED", "x = '\\ud800'"))
    update_lab(LAB)
    assert find(json.loads((lab / "01-Scale.ipynb").read_text()), "solve")["source"] == "x = '\ud800'"
