"""What a student reads on the pages: the receipt, the time, whether it is late, and the lab itself."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import requests

from tests.handin.running import RunningService

LAB = "Lab-0.1-Mini"
FILES = {"01-Scale.ipynb": b"{}"}
ADA = {"Authorization": "token token-ada"}


def page(service: RunningService, address: str = f"labs/{LAB}") -> str:
    """A page as ada sees it."""
    return requests.get(f"{service.url}/{address}", headers=ADA).text


def test_a_page_is_a_whole_receipt(service: RunningService) -> None:
    receipt = service.client("ada").hand_in(LAB, FILES)
    arrived = datetime.fromisoformat(receipt["received"]).astimezone(ZoneInfo("Asia/Taipei"))
    shown = page(service)
    assert f"<code>{receipt['sha256']}</code>" in shown
    for text in (shown, page(service, f"labs/{LAB}?received=1"), page(service, "")):
        assert f"{arrived:%a %d %b %Y, %H:%M:%S}" in text


def test_an_extension_that_came_afterwards_takes_the_mark_away(service: RunningService) -> None:
    ada, collector = service.client("ada"), service.client("collector")
    due = datetime.now(UTC) - timedelta(days=1)

    def lateness() -> set[bool]:
        """What each place says."""
        return {
            ada.overview()["attempts"][0]["late"],
            collector.student("ada")[0]["late"],
            collector.newest(LAB)[0]["late"],
            *(
                '<span class="note warn">late</span>' in page(service, address)
                for address in ("", f"labs/{LAB}")
            ),
            "after the deadline" in page(service, f"labs/{LAB}?received=1"),
            "What lateness costs is taken off in the end" in page(service),
        }

    collector.set_deadline(LAB, due.isoformat(), None, {})
    assert ada.hand_in(LAB, FILES)["late"] and lateness() == {True}
    collector.set_deadline(LAB, due.isoformat(), None, {"bob": (due + timedelta(days=3)).isoformat()})
    assert lateness() == {True}
    collector.set_deadline(LAB, due.isoformat(), None, {"ada": (due + timedelta(days=3)).isoformat()})
    assert lateness() == {False} and "before the deadline" in page(service, f"labs/{LAB}?received=1")
    assert ada.overview()["attempts"][0]["due"] == due.isoformat()  # what was known then stays known


def test_a_lab_can_be_had_from_its_page(service: RunningService) -> None:
    link = re.search(r'href="([^"]+)" download="([^"]+)">Download this lab</a>', page(service))
    assert link is not None and link[2] == f"{LAB}.zip"
    answer = requests.get(f"{service.url.removesuffix('/services/handin')}{link[1]}", headers=ADA)
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{LAB}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["01-Scale.ipynb", "02-More.ipynb"]
    service.client("ada").hand_in(LAB, FILES)
    (service.published / LAB).rename(service.published / f".{LAB}.withdrawn")
    assert "Download this lab" not in page(service)
