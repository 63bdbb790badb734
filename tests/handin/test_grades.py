"""Scores that students see, requests to look again, and answers, through the page's form and the course's commands."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from handin.errors import Refused
from handin.grades import OPEN_REQUESTS, put_score
from handin.grades import ask as send_request
from handin.grades import requests as all_requests
from handin.package import write_package
from handin.store import Store

from autograder.actions import read_actions
from autograder.commands.requests import requests as command
from autograder.errors import CourseError
from autograder.handin import remember_service
from tests.conftest import MiniLab
from tests.handin.running import RunningService
from tests.postgresql import postgresql

__all__ = ["postgresql"]

LAB = "Lab-0.1-Mini"
FILES = {"01-Scale.ipynb": b"{}"}


def page(service: RunningService, who: str) -> str:
    """The page of the lab."""
    return requests.get(f"{service.url}/labs/{LAB}", headers={"Authorization": f"token token-{who}"}).text


def ask(service: RunningService, who: str, attempt: int, text: str) -> requests.Response:
    """What the form of the page sends."""
    return requests.post(
        f"{service.url}/attempts/{attempt}/ask",
        data={"text": text},
        headers={"Authorization": f"token token-{who}"},
        allow_redirects=False,
    )


def test_a_score_reaches_its_student_and_a_request_reaches_the_course(
    service: RunningService, fresh_mini: MiniLab
) -> None:
    remember_service(fresh_mini.instance, service.url, "token-collector")
    collector = service.client("collector")
    attempt = service.client("ada").hand_in(LAB, FILES)["id"]
    assert ask(service, "ada", attempt, "why?").status_code == 409  # not graded yet
    collector.put_score(attempt, "ada", 12.5, 20)
    assert "12.5 of 20" in page(service, "ada")
    assert ask(service, "bob", attempt, "let me see").status_code == 404
    assert ask(service, "ada", attempt, "  ").status_code == 400
    hostile = "check 3 <script>alert(1)</script> \u009b31m[bold]mine"  # one character that begins an escape sequence
    assert ask(service, "ada", attempt, hostile).status_code == 302
    assert ask(service, "ada", attempt, "again").status_code == 409
    assert "<script>alert" not in page(service, "ada") and "It waits for an answer" in page(service, "ada")
    (request,) = collector.asked()
    assert (request["student"], request["text"]) == ("ada", hostile)
    options = ["--instance", str(fresh_mini.instance.root)]
    shown = CliRunner().invoke(command, options, catch_exceptions=False).output
    assert "ada" in shown and "[bold]mine" in shown and "\u009b" not in shown
    done = CliRunner().invoke(
        command, [*options, "answer", str(request["id"]), "It is right <b>."], catch_exceptions=False
    )
    assert done.exit_code == 0 and "It is right &lt;b&gt;." in page(service, "ada")
    (action,) = read_actions(fresh_mini.instance)
    assert (action.what, action.student, action.lab) == (f"answered request {request['id']}", "ada", LAB)
    second = [*options, "answer", str(request["id"]), "It is not."]
    refused = CliRunner().invoke(command, second)
    assert isinstance(refused.exception, CourseError) and "has an answer already" in str(refused.exception)
    assert CliRunner().invoke(command, [*second, "--replace"]).exit_code == 0
    assert "It is not." in page(service, "ada")
    assert "no request waits" in CliRunner().invoke(command, options, catch_exceptions=False).output


def test_nobody_but_the_course_tells_scores_or_answers(service: RunningService) -> None:
    attempt = service.client("ada").hand_in(LAB, FILES)["id"]
    for act in (
        lambda client: client.put_score(attempt, "ada", 20, 20),
        lambda client: client.answer(1, "yes"),
        lambda client: client.asked(),
    ):
        with pytest.raises(Refused, match="only the course's own collecting"):
            act(service.client("ada"))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"score": -5, "maximum": 4}', b'{"score": NaN, "maximum": 4}', b"[1]"]
)
def test_what_is_no_score_is_refused(service: RunningService, body: bytes) -> None:
    attempt = service.client("ada").hand_in(LAB, FILES)["id"]
    answer = requests.put(
        f"{service.url}/api/attempts/{attempt}/score?student=ada",
        data=body,
        headers={"Authorization": "token token-collector"},
    )
    assert answer.status_code == 400 and "this is no score" in answer.json()["error"]


def test_only_so_many_requests_wait(service: RunningService) -> None:
    ada, collector = service.client("ada"), service.client("collector")
    answers = []
    for n in range(OPEN_REQUESTS + 1):
        attempt = ada.hand_in(LAB, {"01-Scale.ipynb": b"%d" % n})["id"]
        collector.put_score(attempt, "ada", 1, 2)
        answers.append(ask(service, "ada", attempt, "look").status_code)
    assert answers == [302] * OPEN_REQUESTS + [429]
    with pytest.raises(Refused, match="no request 999"):
        collector.answer(999, "x")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_second_click_sends_no_second_request(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url = "" if database == "sqlite" else request.getfixturevalue(database).new_database()
    together = threading.Barrier(2)

    def clock() -> datetime:
        """Read when a request is written: whoever comes to that waits for the other to come as far."""
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(1)
        return datetime.now(UTC)

    store = Store(tmp_path / "kept", url)
    package = io.BytesIO()
    write_package(FILES, package)
    attempt = store.hand_in(LAB, "ada", package, store.clock())
    put_score(store, attempt.id, 1, 2)
    store.clock = clock

    def click(_: int) -> int:
        try:
            send_request(store, attempt, "look again")
        except Refused as refused:
            return refused.status
        return 302

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(click, range(2))) == [302, 409]
    assert len(all_requests(store)) == 1
    store.close()


def test_an_answer_is_replaced_only_by_one_that_says_so(service: RunningService) -> None:
    collector = service.client("collector")
    attempt = service.client("ada").hand_in(LAB, FILES)["id"]
    collector.put_score(attempt, "ada", 1, 2)
    ask(service, "ada", attempt, "look")
    (request,) = collector.asked()
    collector.answer(request["id"], "the first")
    collector.answer(request["id"], " the first ")  # sent again after an answer of the service that was lost
    with pytest.raises(Refused, match="has an answer already") as refusal:
        collector.answer(request["id"], "the second")
    assert refusal.value.status == 409 and "the first" in page(service, "ada")
    collector.answer(request["id"], "the second", replace=True)
    assert [one["answer"] for one in collector.asked()] == ["the second"]


def test_a_page_is_shown_in_the_courses_time(service: RunningService) -> None:
    service.client("collector").set_deadline(LAB, "2027-03-07T15:59:00+00:00", None, {})
    assert re.search(r"Due Sun 07 Mar 2027, 23:59", page(service, "ada"))
    assert "Times are those of Asia/Taipei" in page(service, "ada")


def test_a_score_for_another_student_under_that_number_is_refused(service: RunningService) -> None:
    """As after one of two backups was brought back."""
    attempt = service.client("bob").hand_in(LAB, FILES)["id"]
    collector = service.client("collector")
    for act in (
        lambda: collector.put_score(attempt, "ada", 1, 2),
        lambda: collector.put_feedback(attempt, "ada", "01-Scale", b"<p>of ada</p>"),
    ):
        with pytest.raises(Refused, match="is not of that student"):
            act()
    assert service.client("bob").overview()["attempts"][0]["feedback"] == {}


def test_a_number_that_was_deleted_is_never_used_again(service: RunningService) -> None:
    first = service.client("ada").hand_in(LAB, FILES)["id"]
    service.client("collector").forget("ada")
    assert service.client("bob").hand_in(LAB, FILES)["id"] > first


def test_extra_credit_is_more_than_the_maximum(service: RunningService) -> None:
    attempt = service.client("ada").hand_in(LAB, FILES)["id"]
    service.client("collector").put_score(attempt, "ada", 22, 20)
    assert "22 of 20" in page(service, "ada")
