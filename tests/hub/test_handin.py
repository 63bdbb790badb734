"""Handing in in the browser: the service's pages for a student, and what a restart in the middle does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect

from hub_config.running import RunningHub
from tests.hub.accessible import violations
from tests.hub.conftest import needs_root

pytestmark = [needs_root, pytest.mark.timeout(600)]

LAB = "Lab-3.1-Post_Training_Quantization"
NOTEBOOK = "02-Static_Quantization"
Person = Callable[[str], BrowserContext]
Look = Callable[[Page, str], None]


def load_again(page: Page, address: str) -> None:
    """What a person does with a page that does not load: try again, here for a minute and a half."""
    deadline = time.monotonic() + 90
    while True:
        with contextlib.suppress(Error):
            answer = page.goto(address)
            if answer is not None and answer.ok:
                return
        assert time.monotonic() < deadline, f"{address} did not come back"
        page.wait_for_timeout(500)


def test_a_student_hands_in_by_the_page_and_gets_a_receipt(
    hub: RunningHub, people: Person, look: Look, tmp_path: Path
) -> None:
    page = people("student2").new_page()
    page.goto(f"{hub.url}/services/handin/")
    expect(page.get_by_role("heading", name="Labs")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("Sun 07 Mar 2027, 23:59")
    assert violations(page) == []
    look(page, "20-handin-labs")
    page.get_by_role("link", name=LAB.replace("_", " ")).click()
    attempts = page.locator("tbody tr").count()
    (tmp_path / f"{NOTEBOOK}.ipynb").write_text('{"cells": [], "by": "page"}')
    (tmp_path / "notes.txt").write_text("<script>window.pwned = 1</script>")
    page.set_input_files("#files", [tmp_path / f"{NOTEBOOK}.ipynb", tmp_path / "notes.txt"])
    page.get_by_role("button", name="Hand in").click()
    receipt = page.get_by_role("status")
    expect(receipt).to_contain_text(f"Attempt {attempts + 1} is handed in")
    expect(receipt).to_contain_text("before the deadline")
    assert len(receipt.locator("code").inner_text()) == 64
    assert violations(page) == [] and page.evaluate("window.pwned") is None
    look(page, "21-handin-receipt")
    page.reload()  # does not hand in again
    assert page.locator("tbody tr").count() == attempts + 1
    page.close()


def test_the_pages_fit_a_phone_and_the_keyboard(hub: RunningHub, people: Person, look: Look) -> None:
    page = people("student2").new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("", f"labs/{LAB}"):
        page.goto(f"{hub.url}/services/handin/{address}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, (address, width)
        assert violations(page) == []
        look(page, f"22-handin-phone-{'lab' if address else 'labs'}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "home"
    page.close()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.zip", b"not a zip", "this is not a zip archive"),
        (".hidden", b"x", "does not begin with a dot"),
    ],
)
def test_what_is_refused_is_told_on_a_page(
    hub: RunningHub, people: Person, look: Look, tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    page = people("student2").new_page()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    page.set_input_files("#files", {"name": name, "mimeType": "application/octet-stream", "buffer": content})
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("alert")).to_contain_text(text)
    expect(page.get_by_role("alert")).to_contain_text("Nothing was handed in")
    assert violations(page) == []
    look(page, "23-handin-refused")
    page.close()


def test_another_sites_form_hands_nothing_in(hub: RunningHub, people: Person, tmp_path: Path) -> None:
    page = people("student2").new_page()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    before = page.locator("tbody tr").count()
    answer = page.request.post(
        f"{hub.url}/services/handin/labs/{LAB}",
        multipart={"files": {"name": f"{NOTEBOOK}.ipynb", "mimeType": "text/plain", "buffer": b"{}"}},
        headers={
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Origin": "https://evil.example",
        },
    )
    assert answer.status == 403
    page.reload()
    assert page.locator("tbody tr").count() == before
    page.close()


def test_a_service_that_dies_comes_back_with_every_attempt(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = people("student2").new_page()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    before = page.locator("tbody").inner_text()
    hub.process_of("handin.service").kill()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    expect(page.locator(".error")).to_contain_text("This part of the course does not answer")
    expect(page.locator(".error")).to_contain_text("What you saved and what has a receipt is kept")
    look(page, "25-handin-away")
    load_again(page, f"{hub.url}/services/handin/labs/{LAB}")
    assert page.locator("tbody").inner_text() == before
    page.close()


def test_a_proxy_that_dies_comes_back_and_nobody_logs_in_again(hub: RunningHub, people: Person) -> None:
    page = people("student2").new_page()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    before = page.locator("tbody").inner_text()
    hub.process_of("configurable-http-proxy").kill()
    with pytest.raises(Error, match="ERR_CONNECTION"):  # the browser's own words: nobody is there to say more
        page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    load_again(page, f"{hub.url}/services/handin/labs/{LAB}")
    assert page.locator("tbody").inner_text() == before
    load_again(page, f"{hub.url}/user/{hub.prefix}student2/lab")
    assert "/login" not in page.url
    page.close()


def test_the_service_runs_as_an_account_that_can_read_no_solution(hub: RunningHub) -> None:
    process = hub.process_of("handin.service")
    assert process.username() == f"{hub.prefix}handin"
    for place in (hub.state / "course", hub.state / "hub", hub.state / "homes" / f"{hub.prefix}student1"):
        done = os.spawnvp(
            os.P_WAIT,
            "setpriv",
            [
                "setpriv",
                f"--reuid={process.uids().real}",
                f"--regid={process.gids().real}",
                "--clear-groups",
                "ls",
                str(place),
            ],
        )
        assert done != 0, place


def test_the_staff_see_the_class_at_a_glance(hub: RunningHub, people: Person, look: Look) -> None:
    page = people("ta1").new_page()
    page.goto(f"{hub.url}/services/course/formgrader/class")
    expect(page.get_by_role("heading", name="The class")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("row", name="Lab-3.1-Post Training Quantization")).to_contain_text(
        "07 Mar, 23:59"
    )
    expect(page.locator("main")).to_contain_text("the gradebook says what their receipts say")
    assert violations(page) == []
    look(page, "24-class")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
    page = people("ta1").new_page()
    page.goto(f"{hub.url}/services/course/formgrader/manage_assignments")
    page.get_by_role("link", name="Class", exact=True).click()
    expect(page.get_by_role("heading", name="The class")).to_be_visible(timeout=60_000)
    page.close()
