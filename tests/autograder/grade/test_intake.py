"""Intake: only the lab's regular files pass, nothing is followed, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest

from autograder.grade.handed_in import MOST_CELLS, NotANotebook, read_handed_in
from autograder.grade.intake import (
    FILE_BYTES,
    digest,
    finish_interrupted,
    take_in,
    take_in_place,
    timestamp_problem,
)

NOTEBOOK = nbformat.writes(nbformat.v4.new_notebook())


@pytest.fixture
def handed_in(tmp_path: Path) -> Path:
    """A hand-in with one good notebook."""
    folder = tmp_path / "submitted" / "lab"
    folder.mkdir(parents=True)
    (folder / "01.ipynb").write_text(NOTEBOOK)
    return folder


def test_expected_files_pass_and_the_rest_is_listed(handed_in: Path, tmp_path: Path) -> None:
    for name in (
        "torch.py",
        "sitecustomize.py",
        "nbgrader_config.py",
        "02-Other.ipynb",
        ".ipynb_checkpoints",
    ):
        (handed_in / name).write_text("raise SystemExit")
    (handed_in / "notes.txt").write_text("mine")
    report = take_in(handed_in, tmp_path / "clean", ["01"], ["notes.txt"])
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["01.ipynb", "notes.txt"]
    assert set(report.dropped) == {
        "torch.py",
        "sitecustomize.py",
        "nbgrader_config.py",
        "02-Other.ipynb",
        ".ipynb_checkpoints",
    }


def test_links_are_not_followed(handed_in: Path, tmp_path: Path) -> None:
    secret = tmp_path / "gradebook.db"
    secret.write_text(NOTEBOOK)
    (handed_in / "02.ipynb").symlink_to(secret)
    os.link(secret, handed_in / "03.ipynb")
    report = take_in(handed_in, tmp_path / "clean", ["01", "02", "03"], [])
    assert report.broken == {"02": "a link, which is not followed", "03": "a hard link to another file"}
    assert not (tmp_path / "clean" / "02.ipynb").is_symlink()
    assert json.loads((tmp_path / "clean" / "02.ipynb").read_text())["cells"] == []


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path, handed_in: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(handed_in)
    report = take_in(link, tmp_path / "clean", ["01"], [])
    assert report.accepted == [] and report.dropped == {"link": "not a folder"}


def test_pipes_and_large_files_are_refused(handed_in: Path, tmp_path: Path) -> None:
    os.mkfifo(handed_in / "02.ipynb")
    with (handed_in / "notes.txt").open("wb") as file:
        file.truncate(FILE_BYTES + 1)
    report = take_in(handed_in, tmp_path / "clean", ["01", "02"], ["notes.txt"])
    assert report.broken == {"02": "not a regular file"}
    assert report.dropped == {"notes.txt": "5 MiB is over the limit of 5 MiB"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"%PDF-1.4", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "no list of cells"),
        (b'{"cells": 3}', "no list of cells"),
        (b'{"cells": [], "nbformat": 3}', "not a notebook of format 4"),
        (b'{"cells": [7], "nbformat": 4}', "cell 1 is malformed"),
        (b'{"cells": [{"cell_type": "code", "source": 5}], "nbformat": 4}', "source of cell 1 is not text"),
        (
            b'{"cells": [], "nbformat": "' + b"x" * 999 + b'"}',
            "not a notebook of format 4",
        ),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_not_a_notebook_is_told_apart(content: bytes, reason: str) -> None:
    with pytest.raises(NotANotebook, match=reason) as refusal:
        read_handed_in(content)
    assert len(str(refusal.value)) < 120


def test_taking_in_place_keeps_what_came_and_is_done_once(handed_in: Path, tmp_path: Path) -> None:
    (handed_in / "torch.py").write_text("boom")
    received, record = tmp_path / "received" / "lab", tmp_path / "records" / "lab.json"
    first = take_in_place(handed_in, received, record, (["01"], []))
    assert (received / "torch.py").read_text() == "boom" and not (handed_in / "torch.py").exists()
    again = take_in_place(handed_in, received, record, (["01"], []))
    assert again == first and not (tmp_path / "received" / "lab~2").exists()


def test_a_second_handin_is_taken_in_again(handed_in: Path, tmp_path: Path) -> None:
    received, record = tmp_path / "received" / "lab", tmp_path / "records" / "lab.json"
    take_in_place(handed_in, received, record, (["01"], []))
    (handed_in / "evil.py").write_text("boom")
    take_in_place(handed_in, received, record, (["01"], []))
    assert not (handed_in / "evil.py").exists()
    assert (tmp_path / "received" / "lab~2" / "evil.py").exists()


def test_the_digest_sees_a_link_and_a_change(handed_in: Path) -> None:
    before = digest(handed_in)
    (handed_in / "x").symlink_to("01.ipynb")
    with_link = digest(handed_in)
    (handed_in / "x").unlink()
    assert with_link != before == digest(handed_in)


def cell(**fields: object) -> dict[str, object]:
    """A code cell with fields replaced."""
    return {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], **fields}


ODD_CELLS = [
    cell(metadata=[]),
    cell(metadata={"nbgrader": {"grade_id": 7}}),
    cell(metadata={"nbgrader": "x"}),
    cell(id=[1]),
    cell(id="../../x"),
    cell(outputs=5),
    cell(source=["1", "\n2"]),
    cell(source="x = '\ud800'"),
    {"cell_type": "code"},
    {"cell_type": "markdown", "source": "x", "attachments": {"a.png": {"image/png": "not base64!"}, "..": 3}},
]


def test_odd_cells_become_plain_ones() -> None:
    content = json.dumps({"cells": ODD_CELLS, "nbformat": 4, "nbformat_minor": "x", "metadata": []}).encode()
    notebook = read_handed_in(content)
    nbformat.validate(notebook)
    assert len({made.id for made in notebook.cells}) == len(ODD_CELLS)
    assert "attachments" not in notebook.cells[-1]
    assert nbformat.writes(notebook).encode("utf-8")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([cell()] * (MOST_CELLS + 1), "1001 cells are over the limit"),
        ([{"cell_type": "markdown", "source": "\\begin{a}" * 16_000}], "cell 1 has 144000 characters"),
    ],
)
def test_what_is_slow_to_look_at_is_refused(cells: list[object], reason: str) -> None:
    with pytest.raises(NotANotebook, match=reason):
        read_handed_in(json.dumps({"cells": cells, "nbformat": 4}).encode())


def test_names_that_are_not_utf8_stop_nothing(handed_in: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(handed_in) + b"/caf\xe9.txt"))
    odd.write_text("x")
    received, record = tmp_path / "received" / "lab", tmp_path / "records" / "lab.json"
    report = take_in_place(handed_in, received, record, (["01"], []))
    assert list(report.dropped) == ["caf\N{REPLACEMENT CHARACTER}.txt"]
    odd.write_text("x")
    assert take_in_place(handed_in, received, record, (["01"], [])) == report


def test_a_file_in_place_of_the_folder_is_set_aside(tmp_path: Path, handed_in: Path) -> None:
    received, record = tmp_path / "received" / "lab", tmp_path / "records" / "lab.json"
    take_in_place(handed_in, received, record, (["01"], []))
    shutil.rmtree(handed_in)
    handed_in.write_text("a file")
    report = take_in_place(handed_in, received, record, (["01"], []))
    assert report.dropped == {"lab": "not a folder"} and handed_in.is_dir()


@pytest.mark.parametrize(
    "content", [b"yesterday", b"\xff\xfe", b"99999-01-01 00:00:00 UTC", b"", b"1850-01-01 00:00:00 UTC"]
)
def test_what_is_no_time_is_dropped(content: bytes, handed_in: Path, tmp_path: Path) -> None:
    assert timestamp_problem(b"2027-03-07 15:59:00 UTC") is None
    (handed_in / "timestamp.txt").write_bytes(content)
    assert "timestamp.txt" in take_in(handed_in, tmp_path / "clean", ["01"], []).dropped


def test_being_killed_between_the_two_moves_loses_nothing(
    handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received, record = tmp_path / "received" / "lab", tmp_path / "records" / "lab.json"
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if target == handed_in:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        take_in_place(handed_in, received, record, (["01"], []))
    monkeypatch.undo()
    assert not handed_in.exists() and (received / "01.ipynb").exists()
    finish_interrupted(handed_in)
    assert take_in_place(handed_in, received, record, (["01"], [])).accepted == ["01.ipynb"]


def test_a_half_made_copy_is_never_put_in_place(handed_in: Path) -> None:
    half = handed_in.with_name(".lab.intake")
    half.mkdir()
    finish_interrupted(handed_in)
    assert (handed_in / "01.ipynb").exists() and half.exists()
