"""The service over HTTP: who may do what, what is kept, and what an interruption leaves."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from handin.client import Client
from handin.errors import NotAPackage, Refused, Unreachable
from handin.package import write_package
from handin.service.api import WIRE_BYTES
from handin.store import MOST_ATTEMPTS, Store

from tests.handin.running import RunningService, StandInHub

LAB = "Lab-0.1-Mini"
FILES = {"01-Scale.ipynb": b'{"cells": []}', "02-More.ipynb": b"{}"}


def archive(files: dict[str, bytes]) -> bytes:
    """Some files as the client sends them."""
    buffer = io.BytesIO()
    write_package(files, buffer)
    return buffer.getvalue()


def in_days(days: float) -> str:
    """A time from now."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def require_nothing_kept(service: RunningService) -> None:
    """Nothing lies in the service's folder, once what it is at has ended."""
    deadline = time.monotonic() + 20
    while service.kept_files() != ["lock"]:
        assert time.monotonic() < deadline, service.kept_files()
        time.sleep(0.05)


def test_a_hand_in_is_kept_as_it_came_with_the_time_of_the_server(service: RunningService) -> None:
    ada = service.client("ada")
    before = datetime.now(UTC)
    receipt = ada.hand_in(LAB, FILES)
    assert receipt["student"] == "ada" and receipt["number"] == 1 and not receipt["late"]
    assert before <= datetime.fromisoformat(receipt["received"]) <= datetime.now(UTC)
    assert ada.attempt(receipt["id"]) == FILES
    overview = ada.overview()
    assert overview["attempts"] == [receipt]
    assert [lab["lab"] for lab in overview["labs"]] == [LAB] and ada.fetch(LAB)["01-Scale.ipynb"] == b"{}"


def test_every_attempt_stays_and_the_newest_is_collected(service: RunningService) -> None:
    ada, bob, collector = (service.client(who) for who in ("ada", "bob", "collector"))
    first = ada.hand_in(LAB, FILES)
    second = ada.hand_in(LAB, {"01-Scale.ipynb": b"better"})
    other = bob.hand_in(LAB, FILES)
    assert (first["sha256"], second["number"], other["number"]) == (other["sha256"], 2, 1)
    assert [one["id"] for one in collector.newest(LAB)] == [second["id"], other["id"]]
    assert collector.attempt(first["id"]) == FILES


def test_nobody_hands_in_for_another_or_reads_anothers_work(service: RunningService) -> None:
    mine = service.client("ada").hand_in(LAB, FILES)
    bob = service.client("bob")
    with pytest.raises(Refused, match="you have no such hand-in") as refusal:
        bob.attempt(mine["id"])
    assert refusal.value.status == 404
    assert bob.overview()["attempts"] == []
    for path, method in [
        (f"labs/{LAB}/newest", "GET"),
        ("students/ada", "GET"),
        ("students/ada", "DELETE"),
        (f"attempts/{mine['id']}/feedback/01-Scale", "PUT"),
        (f"labs/{LAB}/deadline", "PUT"),
    ]:
        answer = requests.request(
            method, f"{service.url}/api/{path}", headers={"Authorization": "token token-bob"}, data=b"{}"
        )
        assert answer.status_code in (403, 404), path
        assert "only the course's own collecting" in answer.text or "no such hand-in" in answer.text
    # a name in the request is not asked
    forged = requests.post(
        f"{service.url}/api/labs/{LAB}/attempts?student=ada",
        data=archive(FILES),
        headers={"Authorization": "token token-bob", "X-Student": "ada", "X-Forwarded-User": "ada"},
    )
    assert forged.json()["student"] == "bob"


def test_a_time_in_the_request_is_not_believed(service: RunningService) -> None:
    service.client("collector").set_deadline(LAB, in_days(-1), None, {})
    old = io.BytesIO()
    with zipfile.ZipFile(old, "w") as written:
        written.writestr(zipfile.ZipInfo("01-Scale.ipynb", (1999, 1, 1, 0, 0, 0)), b"{}")
    answer = requests.post(
        f"{service.url}/api/labs/{LAB}/attempts?received=1999-01-01",
        data=old.getvalue(),
        headers={"Authorization": "token token-ada", "Date": "Fri, 01 Jan 1999 00:00:00 GMT"},
    ).json()
    assert answer["late"] and answer["received"] > in_days(-0.1)
    with pytest.raises(NotAPackage, match="the course itself writes"):
        service.client("ada").hand_in(LAB, {"timestamp.txt": b"1999-01-01 00:00:00 UTC"})


@pytest.mark.parametrize(
    ("token", "status", "text"),
    [
        ("", 401, "not, or no longer, one of the Hub's"),
        ("token-expired", 401, "not, or no longer, one of the Hub's"),
        ("token-out", 403, "out may not use the hand-in service"),
        ("token-other", 403, "a service hands nothing in"),
    ],
)
def test_who_the_hub_does_not_send_is_refused(
    service: RunningService, token: str, status: int, text: str
) -> None:
    for method, path in [("GET", "overview"), ("POST", f"labs/{LAB}/attempts")]:
        answer = requests.request(
            method,
            f"{service.url}/api/{path}",
            data=archive(FILES) if method == "POST" else None,
            headers={"Authorization": f"token {token}"} if token else {},
            allow_redirects=False,
        )
        assert answer.status_code == status and text in answer.json()["error"], answer.text
    require_nothing_kept(service)


def test_a_token_that_is_taken_back_ends_within_half_a_minute(
    service: RunningService, hub: StandInHub
) -> None:
    ada = service.client("ada")
    for _ in range(5):
        ada.overview()
    assert hub.asked == 1  # the class hands in at once; the Hub is not asked each time
    del hub.tokens["token-ada"]
    deadline = time.monotonic() + 40
    with pytest.raises(Refused, match="no longer"):
        while time.monotonic() < deadline:
            ada.overview()
            time.sleep(1)


def test_late_closed_and_extended(service: RunningService) -> None:
    ada, bob, collector = (service.client(who) for who in ("ada", "bob", "collector"))
    collector.set_deadline(LAB, in_days(-2), in_days(5), {})
    assert ada.hand_in(LAB, FILES)["late"]
    collector.set_deadline(LAB, in_days(-9), in_days(-2), {"bob": in_days(1)})
    with pytest.raises(Refused, match=r"closed at .* UTC and takes no more hand-ins") as refusal:
        ada.hand_in(LAB, FILES)
    assert refusal.value.status == 403 and len(ada.overview()["attempts"]) == 1
    assert not bob.hand_in(LAB, FILES)["late"]
    assert bob.overview()["labs"][0]["due"] > ada.overview()["labs"][0]["due"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "this is no deadline"),
        (b"{}", "'due' is missing"),
        (b'{"due": "2027-03-07T23:59:00"}', "no time zone"),
        (b'{"due": "2027-03-07T23:59:00Z", "closes": "2027-03-06T23:59:00Z"}', "close before it is due"),
        (b'{"due": "2027-03-07T23:59:00Z", "extensions": ["ada"]}', "this is no deadline"),
        (b'{"due": "100%"}', "100%"),
    ],
)
def test_a_deadline_that_is_none_changes_nothing(service: RunningService, body: bytes, text: str) -> None:
    answer = requests.put(
        f"{service.url}/api/labs/{LAB}/deadline",
        data=body,
        headers={"Authorization": "token token-collector"},
    )
    assert answer.status_code == 400 and text in answer.json()["error"]
    assert service.client("ada").overview()["labs"][0]["due"] is None


def test_feedback_reaches_its_student_alone_and_can_be_replaced(service: RunningService) -> None:
    ada, collector = service.client("ada"), service.client("collector")
    attempt = ada.hand_in(LAB, FILES)["id"]
    with pytest.raises(Refused, match="no feedback on 01-Scale yet"):
        ada.feedback(attempt, "01-Scale")
    for page in (b"<p>first</p>", b"<p>second</p>"):
        collector.put_feedback(attempt, "ada", "01-Scale", page)
        assert ada.feedback(attempt, "01-Scale") == page
    assert list(ada.overview()["attempts"][0]["feedback"]) == ["01-Scale"]
    with pytest.raises(Refused, match="no such hand-in"):
        service.client("bob").feedback(attempt, "01-Scale")
    with pytest.raises(Refused, match="has no notebook 03-Other"):
        collector.put_feedback(attempt, "ada", "03-Other", b"")
    shown = requests.get(
        f"{service.url}/api/attempts/{attempt}/feedback/01-Scale",
        headers={"Authorization": "token token-ada"},
    )
    assert "sandbox" in shown.headers["Content-Security-Policy"]


def test_what_is_no_hand_in_is_refused_and_leaves_nothing(service: RunningService) -> None:
    for lab, body, status, text in [
        (LAB, b"not a zip", 400, "not a zip archive"),
        ("Lab-9.9", archive(FILES), 404, "Lab-9.9 is not released"),
    ]:
        answer = requests.post(
            f"{service.url}/api/labs/{lab}/attempts", data=body, headers={"Authorization": "token token-ada"}
        )
        assert answer.status_code == status and text in answer.json()["error"]
    require_nothing_kept(service)
    assert service.client("ada").overview()["attempts"] == []


def test_a_five_gigabyte_upload_is_refused_before_it_is_sent(service: RunningService) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.putrequest("POST", f"/services/handin/api/labs/{LAB}/attempts")
    connection.putheader("Authorization", "token token-ada")
    connection.putheader("Content-Length", str(5 << 30))
    connection.endheaders()
    connection.send(b"x" * 1000)
    answer = connection.getresponse()
    assert answer.status == 413 and b"a hand-in is at most 100 MiB" in answer.read()
    connection.close()
    require_nothing_kept(service)


def test_an_upload_of_unknown_length_ends_at_the_limit(service: RunningService) -> None:
    def endless() -> object:
        while True:
            yield b"\0" * (1 << 20)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        answer = requests.post(
            f"{service.url}/api/labs/{LAB}/attempts",
            data=endless(),
            headers={"Authorization": "token token-ada"},
            timeout=60,
        )
        raise requests.ConnectionError(f"ended with {answer.status_code}")
    require_nothing_kept(service)
    assert WIRE_BYTES < 102 << 20


def half_an_upload(service: RunningService) -> socket.socket:
    """A connection on which half of a hand-in was sent."""
    body = archive({"01-Scale.ipynb": os.urandom(200_000)})
    connection = socket.create_connection(("127.0.0.1", service.port))
    head = (
        f"POST /services/handin/api/labs/{LAB}/attempts HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: token token-ada\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[: len(body) // 2])
    deadline = time.monotonic() + 20
    while len(service.kept_files()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return connection


def test_half_an_upload_leaves_nothing(service: RunningService) -> None:
    half_an_upload(service).close()
    require_nothing_kept(service)
    assert service.client("ada").overview()["attempts"] == []


def test_a_service_killed_in_an_upload_loses_only_that_upload(service: RunningService) -> None:
    ada = service.client("ada")
    kept = ada.hand_in(LAB, FILES)
    connection = half_an_upload(service)
    service.kill()
    connection.close()
    with pytest.raises(Unreachable, match="Your files are where they were"):
        ada.overview()
    service.start()
    assert ada.overview()["attempts"] == [kept] and ada.attempt(kept["id"]) == FILES
    assert len(service.kept_files()) == 2  # the lock and the one package


def test_hand_ins_at_once_all_survive_with_numbers_of_their_own(service: RunningService) -> None:
    def hand_in(n: int) -> dict[str, object]:
        who = "ada" if n % 2 else "bob"
        return service.client(who).hand_in(LAB, {"01-Scale.ipynb": b"%d" % n})

    with ThreadPoolExecutor(12) as pool:
        receipts = list(pool.map(hand_in, range(24)))
    for who in ("ada", "bob"):
        numbers = sorted(int(str(one["number"])) for one in receipts if one["student"] == who)
        assert numbers == list(range(1, 13))
    for n, receipt in enumerate(receipts):
        assert service.client("collector").attempt(int(str(receipt["id"]))) == {"01-Scale.ipynb": b"%d" % n}


def test_kills_in_the_middle_of_many_hand_ins_lose_none_that_got_a_receipt(service: RunningService) -> None:
    receipts: list[dict[str, object]] = []
    stop = threading.Event()

    def work(who: str) -> None:
        client, n = service.client(who), 0
        while not stop.is_set():
            n += 1
            try:
                receipts.append(client.hand_in(LAB, {"01-Scale.ipynb": f"{who} {n}".encode()}))
            except (Unreachable, Refused):
                time.sleep(0.05)

    threads = [threading.Thread(target=work, args=(who,)) for who in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.7)
        service.kill()
        service.start()
    stop.set()
    for thread in threads:
        thread.join()
    collector = service.client("collector")
    known = {one["id"]: one for who in ("ada", "bob") for one in collector.student(who)}
    assert len(receipts) > 5 and all(known[receipt["id"]] == receipt for receipt in receipts)
    for attempt in known.values():
        assert collector.attempt(attempt["id"])
    for who in ("ada", "bob"):
        numbers = [one["number"] for one in known.values() if one["student"] == who]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, hub: StandInHub) -> None:
    small = tmp_path / "kept"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=True)
    running = RunningService(tmp_path, hub, HANDIN_FREE_BYTES="0")
    try:
        running.publish(LAB, "01-Scale")
        ada = running.client("ada")
        kept = ada.hand_in(LAB, FILES)
        with pytest.raises(Refused, match=r"No space left on device.*Nothing was handed in") as refusal:
            ada.hand_in(LAB, {"01-Scale.ipynb": os.urandom(4 << 20)})
        assert refusal.value.status == 507
        assert (
            ada.overview()["attempts"] == [kept]
            and ada.hand_in(LAB, {"01-Scale.ipynb": b"small"})["number"] == 2
        )
    finally:
        running.stop()
        subprocess.run(["umount", str(small)], check=True)


def test_a_nearly_full_disk_takes_nothing(tmp_path: Path, hub: StandInHub) -> None:
    running = RunningService(tmp_path, hub, HANDIN_FREE_BYTES=str(shutil.disk_usage(tmp_path).total))
    try:
        running.publish(LAB, "01-Scale")
        with pytest.raises(Refused, match="no space left"):
            running.client("ada").hand_in(LAB, FILES)
    finally:
        running.stop()


def test_too_many_requests_are_told_when_to_come_back(service: RunningService) -> None:
    ada = service.client("ada")
    with pytest.raises(Refused, match=r"Try again in \d+ seconds") as refusal:
        for n in range(40):
            ada.hand_in(LAB, {"01-Scale.ipynb": b"%d" % n})
    assert refusal.value.status == 429
    assert service.client("bob").hand_in(LAB, FILES)["number"] == 1  # others are not kept waiting


def test_a_hub_that_does_not_answer_is_told_apart(service: RunningService, hub: StandInHub) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(Unreachable):
        service.client("ada").hand_in(LAB, FILES)
    assert service.process.poll() is None
    require_nothing_kept(service)


def test_only_one_service_works_on_a_folder(service: RunningService, hub: StandInHub) -> None:
    with pytest.raises(AssertionError, match="is open in another process"):
        RunningService(service.folder, hub)


def test_a_student_can_be_given_everything_and_be_forgotten(service: RunningService) -> None:
    ada, bob, collector = (service.client(who) for who in ("ada", "bob", "collector"))
    shared = bob.hand_in(LAB, FILES)
    ada.hand_in(LAB, FILES)
    own = ada.hand_in(LAB, {"01-Scale.ipynb": b"only mine"})
    collector.put_feedback(own["id"], "ada", "01-Scale", b"<p>page</p>")
    assert [one["number"] for one in collector.student("ada")] == [1, 2]
    before = len(service.kept_files())
    assert collector.forget("ada") == 2
    assert collector.student("ada") == [] and len(service.kept_files()) == before - 2
    assert bob.attempt(shared["id"]) == FILES  # the same content, which is still his


def test_a_row_of_an_attempt_cannot_be_changed(service: RunningService) -> None:
    import sqlite3

    service.client("ada").hand_in(LAB, FILES)
    with sqlite3.connect(service.kept / "handin.db") as database:
        with pytest.raises(sqlite3.IntegrityError, match="a hand-in is never changed"):
            database.execute("UPDATE attempt SET received = '1999-01-01 00:00:00'")
        assert database.execute("SELECT version_num FROM handin_version").fetchone() == ("1",)
    database.close()


def test_the_service_ends_when_the_hub_asks(service: RunningService) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0
    service.start()


def test_a_client_without_a_service_says_so() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        Client("http://127.0.0.1:9/services/handin", "x").overview()


def test_a_student_has_room_for_so_much_and_what_is_refused_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept")
    content = {"01-Scale.ipynb": b"{}"}

    def hand_in(number: int) -> None:
        package = io.BytesIO()
        write_package({**content, "n.txt": b"%d" % number}, package)
        store.hand_in(LAB, "ada", package, store.clock())

    for number in range(MOST_ATTEMPTS):
        hand_in(number)
    files = len(list(store.packages))
    for number in range(3):
        with pytest.raises(Refused, match="the most there can be"):
            hand_in(1000 + number)
    assert len(list(store.packages)) == files == MOST_ATTEMPTS
    store.close()


def test_a_class_gets_its_feedback_however_large_it_is(tmp_path: Path, hub: StandInHub) -> None:
    service = RunningService(tmp_path, hub, HANDIN_RATE="5")
    try:
        service.publish(LAB, "01-Scale")
        attempt = service.client("ada").hand_in(LAB, FILES)["id"]
        for _ in range(20):
            service.client("collector").put_feedback(attempt, "ada", "01-Scale", b"<p>page</p>")
        with pytest.raises(Refused, match="too many requests"):
            for _ in range(6):
                service.client("ada").overview()
    finally:
        service.stop()


def test_a_body_before_a_login_is_small(service: RunningService) -> None:
    """What a stranger sends is not held in memory: the line is cut, or the answer comes before the body."""
    for method, path in (
        ("PUT", "api/students/ada"),
        ("PUT", "api/requests/1/answer"),
        ("POST", f"labs/{LAB}"),
    ):
        try:
            status = requests.request(method, f"{service.url}/{path}", data=b"x" * (8 << 20)).status_code
        except requests.RequestException:
            status = 0
        assert status in (0, 400, 403), (method, path)
    answer = requests.post(f"{service.url}/labs/{LAB}", data=b"x", allow_redirects=False)
    assert answer.status_code == 403 and "Load the page again" in answer.text


def test_a_form_with_too_many_parts_is_told(service: RunningService) -> None:
    many = [("files", (f"{n}.txt", b"x")) for n in range(150)]
    answer = requests.post(
        f"{service.url}/labs/{LAB}", files=many, headers={"Authorization": "token token-ada"}
    )
    assert (
        answer.status_code == 400
        and "at most 50 files" in answer.text
        and "Nothing was handed in" in answer.text
    )


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "api/attempts/1/feedback/01-Scale"), ("POST", f"api/labs/{LAB}/attempts")]
)
def test_a_refusal_that_ends_the_connection_says_so(service: RunningService, method: str, path: str) -> None:
    """A proxy keeps connections: without a word it would send the next request, somebody else's, into a closed one."""
    headers = {"Authorization": "token token-out", "Content-Type": "text/html"}
    answer = requests.request(method, f"{service.url}/{path}", data=b"{}", headers=headers)
    assert answer.status_code == 403 and answer.headers["Connection"] == "close"
    kept = requests.get(f"{service.url}/api/overview", headers={"Authorization": "token token-out"})
    assert kept.status_code == 403 and kept.headers.get("Connection") != "close"
