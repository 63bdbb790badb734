"""The exchange is handed over to the course's account without following anything that lies there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hub_config.errors import HubError
from hub_config.exchange import prepare_exchange
from tests.hub.conftest import needs_root

pytestmark = needs_root


def modes(exchange: Path) -> dict[str, tuple[int, int]]:
    """Mode and owner of each folder."""
    found = {path.name: path.stat() for path in (exchange, *exchange.rglob("*"))}
    return {name: (stat.S_IMODE(status.st_mode), status.st_uid) for name, status in found.items()}


def test_only_what_the_course_writes_is_its_own(tmp_path: Path) -> None:
    exchange = tmp_path / "exchange"
    for _ in range(2):
        prepare_exchange(exchange, "daemon")
    assert modes(exchange) == {
        "exchange": (0o1777, 0),
        "model-compression": (0o755, 0),
        "outbound": (0o755, 1),
        "inbound": (0o3733, 1),
        "feedback": (0o711, 1),
    }


@pytest.mark.parametrize("name", ["model-compression", "model-compression/feedback"])
def test_a_link_in_its_place_is_refused_and_its_target_untouched(tmp_path: Path, name: str) -> None:
    exchange, victim = tmp_path / "exchange", tmp_path / "victim"
    (victim / "inbound").mkdir(parents=True)
    before = [(path.stat().st_mode, path.stat().st_uid) for path in (victim, victim / "inbound")]
    place = exchange / name
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    with pytest.raises(HubError, match="is not a folder"):
        prepare_exchange(exchange, "daemon")
    assert [(path.stat().st_mode, path.stat().st_uid) for path in (victim, victim / "inbound")] == before
