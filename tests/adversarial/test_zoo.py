"""The zoo: every attack earns only what it honestly earned, tells nothing, leaves nothing; innocents keep all."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversarial.handin import TELL, HandIn, cell
from tests.adversarial.traces import traces, what_stayed
from tests.adversarial.zoo import (
    INNOCENT,
    MARK,
    Record,
    Zoo,
    active_parts,
    all_hand_ins,
    daily,
    skipped,
    temporary_files_in,
    write_records,
)
from tests.conftest import MiniLab

ALL = [(group, hand_in) for group, hand_ins in all_hand_ins().items() for hand_in in hand_ins]
DAILY = daily()


@pytest.fixture(scope="session")
def records() -> Iterator[list[Record]]:
    """What was judged, written to build/zoo.json at the end."""
    found: list[Record] = []
    yield found
    write_records(found)


@pytest.fixture(scope="session")
def own_folder() -> Iterator[Path]:
    """Where the zoo's temporary files go."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def tried_zoo(mini: MiniLab, own_folder: Path) -> Zoo:
    """A judge that has judged a harmless hand-in."""
    with temporary_files_in(own_folder):
        return Zoo(mini)


@pytest.fixture
def zoo(tried_zoo: Zoo, own_folder: Path) -> Iterator[Zoo]:
    """The judge, with temporary files where no other test's are, for as long as this test takes."""
    with temporary_files_in(own_folder):
        yield tried_zoo


@pytest.mark.parametrize(
    ("group", "hand_in"),
    [
        pytest.param(
            group,
            hand_in,
            id=f"{group}: {hand_in.name}",
            marks=() if hand_in.name in DAILY else pytest.mark.nightly,
        )
        for group, hand_in in ALL
    ],
)
def test_a_hand_in_earns_what_it_earned(zoo: Zoo, records: list[Record], group: str, hand_in: HandIn) -> None:
    if why := skipped(hand_in):
        pytest.skip(why)
    record = zoo.judge(group, hand_in)
    records.append(record)
    assert record["got"] == record["expected"], record["fault"]
    assert record["leaked"] == []
    assert record["left_behind"] == []


def test_the_zoo_is_large_and_its_names_are_its_own() -> None:
    names = [hand_in.name for _, hand_in in ALL]
    assert len(names) == len(set(names))
    innocents = sum(group in INNOCENT for group, _ in ALL)
    assert innocents >= 32 and len(ALL) - innocents >= 65


def test_the_zoo_sees_what_comes_out(zoo: Zoo) -> None:
    source = f"{TELL}print(mark, 'told')\nprint({zoo.hidden[0]!r})"
    leaked = zoo.judge("bombs", HandIn("told", "prints what it should not", cell(source)))["leaked"]
    assert zoo.hidden[0] in leaked and any(text.startswith(f"{MARK} told") for text in leaked)


def test_the_zoo_sees_what_is_active_on_a_page() -> None:
    page = "<p style='x'><a href='#here'>x</a><a href=' javascript:1'>x</a><img src='data:image/png;base64,' onload=1><svg>"
    assert active_parts(page) == [
        "active: <p style=x>",
        "active: <a href= javascript:1>",
        "active: <img onload=1>",
        "active: <svg>",
    ]


def test_the_zoo_sees_what_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tests.adversarial.traces.PATIENCE", 0.1)
    before = traces()
    with subprocess.Popen(["sleep", "60"]) as left:
        (tmp_path / "left").touch()
        found = what_stayed(before)
        left.kill()
    assert found == [f"file {tmp_path / 'left'}", f"process {left.pid} sleep 60"]
