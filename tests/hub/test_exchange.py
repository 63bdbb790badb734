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


def test_only_the_course_writes_there(tmp_path: Path) -> None:
    exchange = tmp_path / "exchange"
    for _ in range(2):
        prepare_exchange(exchange, "daemon")
    assert modes(exchange) == {
        "exchange": (0o755, 1),
        "model-compression": (0o755, 1),
        "outbound": (0o755, 1),
    }


@pytest.mark.parametrize("name", ["model-compression", "model-compression/outbound"])
def test_a_link_in_its_place_is_refused_and_its_target_untouched(tmp_path: Path, name: str) -> None:
    exchange, victim = tmp_path / "exchange", tmp_path / "victim"
    (victim / "below").mkdir(parents=True)
    before = [(path.stat().st_mode, path.stat().st_uid) for path in (victim, victim / "below")]
    place = exchange / name
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    with pytest.raises(HubError, match="is not a folder"):
        prepare_exchange(exchange, "daemon")
    assert [(path.stat().st_mode, path.stat().st_uid) for path in (victim, victim / "below")] == before
