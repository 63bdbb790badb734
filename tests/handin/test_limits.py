"""How long somebody waits, how much they may keep, and what they are told when a file cannot be read."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from handin.client import PACKAGE_SECONDS, READ_SECONDS, Client
from handin.errors import Refused, Unreachable
from handin.package import write_package
from handin.store import Store
from handin.tables import Attempt

from handin import client as client_module
from handin import store as store_module
from tests.handin.running import RunningService, hanging

LAB, OTHER = "Lab-0.1-Mini", "Lab-0.2-Late"
LISTS: dict[str, Callable[[Client], object]] = {
    "overview": lambda client: client.overview(),
    "newest": lambda client: client.newest(LAB),
    "asked": lambda client: client.asked(),
    "student": lambda client: client.student("ada"),
}


def hand_in(store: Store, lab: str, content: bytes) -> Attempt:
    """A notebook of ada's."""
    package = io.BytesIO()
    write_package({"01-Scale.ipynb": content}, package)
    return store.hand_in(lab, "ada", package, store.clock())


@pytest.mark.parametrize("what", LISTS)
def test_a_service_that_hangs_is_soon_given_up(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    assert READ_SECONDS == 5 and PACKAGE_SECONDS == 120
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.3)
    with hanging(service):
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"does not answer \(ReadTimeout\)"):
            LISTS[what](service.client("collector"))
        assert time.monotonic() - began < 5


def test_a_hand_in_into_a_service_that_hangs_ends_too(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PACKAGE_SECONDS", 0.3)
    with hanging(service), pytest.raises(Unreachable, match="does not answer"):
        service.client("ada").hand_in(LAB, {"01-Scale.ipynb": b"{}"})


def test_a_package_may_take_longer_than_a_list(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.0)  # which urllib3 refuses
    ada = service.client("ada")
    with pytest.raises(ValueError, match="timeout"):
        ada.overview()
    attempt = ada.hand_in(LAB, {"01-Scale.ipynb": b"{}"})
    assert ada.attempt(attempt["id"]) and ada.fetch(LAB)


def test_an_upload_may_be_slow_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(client_module, "PACKAGE_SECONDS", 20.0)
    content = os.urandom(12 << 20)
    with socket.socket() as slow, ThreadPoolExecutor(1) as pool:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        slow.bind(("127.0.0.1", 0))
        slow.listen()

        def take() -> int:
            """Read for about two seconds, then answer."""
            connection, _ = slow.accept()
            taken, began = 0, time.monotonic()
            with connection, connection.makefile("rb") as sent:
                while taken < len(content):
                    if not (block := sent.read1(1 << 20)):
                        return taken  # given up
                    taken += len(block)
                    time.sleep(max(0.0, began + 2 * taken / len(content) - time.monotonic()))
                connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 13\r\n\r\n{"number": 1}')
            return taken

        taking = pool.submit(take)
        client = Client(f"http://127.0.0.1:{slow.getsockname()[1]}", "x")
        assert client.hand_in(LAB, {"01-Scale.ipynb": content}) == {"number": 1}
        assert taking.result() >= len(content)


def test_much_work_on_one_lab_shuts_nobody_out_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LAB_BYTES", 3 << 20)
    store = Store(tmp_path / "kept")
    for letter in (b"a", b"b", b"a", b"b"):  # what is kept once is counted once
        last = hand_in(store, LAB, letter * (1 << 20))
    says = "would be over 3 MiB together, so it was not taken. Attempt 4 counts"
    with pytest.raises(Refused, match=says) as refusal:
        hand_in(store, LAB, b"c" * ((1 << 20) + 1))
    assert refusal.value.status == 429
    assert [one.id for one in store.newest(LAB)] == [last.id]
    assert hand_in(store, LAB, b"a" * (1 << 20)).number == 5
    assert hand_in(store, OTHER, b"c" * (2 << 20)).number == 1
    store.close()


@pytest.mark.parametrize("kind", ["attempt", "feedback"])
def test_a_file_that_cannot_be_read_is_no_hand_in_that_failed(service: RunningService, kind: str) -> None:
    ada = service.client("ada")
    attempt = ada.hand_in(LAB, {"01-Scale.ipynb": b"{}"})["id"]
    service.client("collector").put_feedback(attempt, "ada", "01-Scale", b"<p>page</p>")
    for path in [*service.kept.glob("packages/??/*"), *service.kept.glob("feedback/??/*")]:
        path.unlink()
    with pytest.raises(Refused, match=r"cannot get at one of its files \(No such file") as refusal:
        if kind == "attempt":
            ada.attempt(attempt)
        else:
            ada.feedback(attempt, "01-Scale")
    assert refusal.value.status == 500 and "Nothing was handed in" not in str(refusal.value)
