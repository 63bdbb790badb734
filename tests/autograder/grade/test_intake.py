"""Intake: only the lab's regular files pass, nothing is followed, nothing is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest

from autograder.grade.intake import FILE_BYTES, digest, notebook_problem, take_in, take_in_place

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
            b'{"cells": [{"cell_type": "code", "source": "", "metadata": []}], "nbformat": 4}',
            "metadata of cell 1",
        ),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_not_a_notebook_is_told_apart(content: bytes, reason: str) -> None:
    assert reason in (notebook_problem(content) or "")


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
