"""The leaderboard: order, front, cache, refusals, and a page without accounts or markup of students."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from labkit.capstone.artifact import read_artifact

from autograder.capstone.leaderboard import Entry, collect, content_hash, front, page
from autograder.capstone.measure import Examination, Result
from autograder.cli import course
from autograder.course import Instance
from tests.autograder.capstone.encoder import write


def result(size: int, accuracy: float, nickname: str = "one") -> Result:
    return Result(nickname, size, 1_000, accuracy, 0.8, accuracy)


sizes = st.integers(1, 6)
accuracies = st.sampled_from([0.1, 0.2, 0.3, 0.4])


@given(st.lists(st.tuples(sizes, accuracies), max_size=12))
def test_the_front_is_what_nothing_beats(pairs: list[tuple[int, float]]) -> None:
    results = [result(size, accuracy) for size, accuracy in pairs]
    best = front(results)
    for one in results:
        beaten = any(
            other.size <= one.size
            and other.accuracy >= one.accuracy
            and (other.size, other.accuracy) != (one.size, one.accuracy)
            for other in results
        )
        assert ((one.size, one.accuracy) in {(other.size, other.accuracy) for other in best}) == (not beaten)
    assert len({(one.size, one.accuracy) for one in best}) == len(best)


@pytest.fixture(scope="module")
def handins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handins")
    for account, bits, name in (("anna", 8, "eight"), ("ben", 4, "four"), ("cleo", 6, "six")):
        manifest = write(folder / account, bits=bits)
        manifest["nickname"] = name
        (folder / account / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (folder / "dora").mkdir()
    return folder


class BySize:
    """In the place of an examination: accuracy follows from the size, so that nothing has to be run."""

    def __init__(self) -> None:
        self.measured: list[str] = []

    def measure(self, folder: Path) -> Result:
        self.measured.append(folder.name)
        artifact = read_artifact(folder)
        return result(artifact.size, 0.8 - 10 / artifact.size, artifact.manifest["nickname"])


def ranked(handins: Path, examination: BySize, cache: Path, *, seed: int = 1, top: int = 1) -> list[Entry]:
    return collect(
        handins.iterdir(), cast("Examination", examination), seed, cache, top=top, step=lambda: None
    )


def test_entries_are_sorted_measured_once_and_the_best_twice(handins: Path, tmp_path: Path) -> None:
    examination, cache = BySize(), tmp_path / "cache.json"
    first = ranked(handins, examination, cache)
    assert sorted(examination.measured[:4]) == ["anna", "ben", "cleo", "dora"]
    assert examination.measured[4:] == [first[0].account]
    scores = [entry.result.score for entry in first if entry.result]
    assert scores == sorted(scores, reverse=True) and len(scores) == 3
    assert [entry.verified for entry in first] == [True, False, False, False]
    assert first[-1].account == "dora" and "manifest.json is missing" in first[-1].refused
    ranked(handins, examination, cache)
    assert examination.measured[5:] == [first[0].account]
    ranked(handins, examination, cache, seed=2)
    assert len(examination.measured) == 11


def test_a_result_that_does_not_come_out_again_is_not_verified(handins: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    before = ranked(handins, BySize(), cache, top=0)[0]
    stored = json.loads(cache.read_text("utf-8"))
    key = content_hash(handins / before.account)
    stored["results"][key]["accuracy"] = 0.99
    cache.write_text(json.dumps(stored), "utf-8")
    after = ranked(handins, BySize(), cache)[0]
    assert after.result == before.result and not after.verified


def test_a_file_of_many_gigabytes_is_refused_and_not_read(handins: Path, tmp_path: Path) -> None:
    shutil.copytree(handins / "anna", tmp_path / "handins" / "anna")
    os.truncate(tmp_path / "handins" / "anna" / "submission.safetensors", 2**40)
    (entry,) = ranked(tmp_path / "handins", BySize(), tmp_path / "cache.json")
    assert "more than 1,300,000 bytes" in entry.refused


def test_the_page_shows_nicknames_and_no_account(handins: Path, tmp_path: Path) -> None:
    html = page(ranked(handins, BySize(), tmp_path / "cache.json"))
    assert all(name in html for name in ("eight", "four", "six", "<svg", "1 hand-in was refused"))
    assert not re.search("anna|ben|cleo|dora|script", html)
    assert "No hand-in could be measured" in page([])


def test_the_commands(handins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograder.commands.capstone.instance", lambda: Instance(tmp_path / "instance"))
    run = CliRunner().invoke(course, ["capstone", str(handins / "anna"), "--json"], catch_exceptions=False)
    assert json.loads(run.stdout)["nickname"] == "eight"
    alone = tmp_path / "handins"
    alone.mkdir()
    (alone / "anna").symlink_to(handins / "anna")
    run = CliRunner().invoke(course, ["leaderboard", str(alone)])
    assert "has no folders" in str(run.exception)
    (alone / "anna").unlink()
    shutil.copytree(handins / "anna", alone / "anna")
    run = CliRunner().invoke(course, ["leaderboard", str(alone), "--top", "0"], catch_exceptions=False)
    assert "eight" in Path(run.stdout.strip().splitlines()[-1]).read_text("utf-8")
