"""After the week of test_week.py: the staff's own pages in the browser, with what that week left behind.

The tests of this file go on with that story and run in its order.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from autograder.actions import Action, read_actions
from autograder.course import Instance
from hub_config.running import RunningHub
from tests.hub.accessible import PHONE, overhang, violations
from tests.hub.conftest import needs_root
from tests.hub.test_week import WRITTEN, formgrader, open_work_of_student1

pytestmark = [needs_root, pytest.mark.timeout(600)]

LAB = "Lab-3.1-Post_Training_Quantization"
HOSTILE = "<script>window.pwned = 1</script>"
FORMGRADERS = [
    "manage_assignments", f"manage_submissions/{LAB}", "gradebook", f"gradebook/{LAB}", f"gradebook/{LAB}/{WRITTEN}",
    "manage_students", "manage_students/{student}", f"manage_students/{{student}}/{LAB}", "queue",
]  # fmt: skip
"""nbgrader's own pages, with what the course adds to them."""
PAGES = ["class", "people", "requests", "changes", "similar", "journal"]
Person = Callable[[str], BrowserContext]
Look = Callable[[Page, str], None]


def wait_for_row(page: Page, title: str) -> None:
    """Until the page of the queue shows a job as done."""
    row = page.locator("#main-table tr", has_text=title).first
    expect(row.locator(".label")).to_have_text("done", timeout=120_000)


def test_a_student_asks_to_be_looked_at_again(hub: RunningHub, people: Person, look: Look) -> None:
    page = people("student1").new_page()
    page.goto(f"{hub.url}/services/handin/labs/{LAB}")
    page.get_by_text("Ask to look at it again").first.click()
    page.get_by_label("Your request").first.fill(f"My answer names the range. {HOSTILE}")
    page.get_by_role("button", name="Send the request").first.click()
    expect(page.locator("main")).to_contain_text("It waits for an answer")
    assert violations(page) == [] and page.evaluate("window.pwned") is None
    look(page, "30-student-asked")
    page.close()


def test_an_assistant_answers_by_keyboard_and_the_student_reads_it(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = formgrader(hub, people, "ta1", "class")
    page.get_by_role("link", name="1 request to look at a grade again").click()
    expect(page.locator("blockquote").first).to_contain_text("My answer names the range. <script>")
    look(page, "31-requests")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("To the content")
    page.get_by_label("Your answer, which").focus()
    page.keyboard.type("It does; two points more.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("None waits for an answer")
    expect(page.locator(".answer")).to_have_text("It does; two points more.")
    assert page.evaluate("window.pwned") is None
    page.close()
    student = people("student1").new_page()
    student.goto(f"{hub.url}/services/handin/labs/{LAB}")
    expect(student.locator("main")).to_contain_text("It does; two points more.")
    look(student, "32-student-reads-the-answer")
    student.close()


def test_an_instructor_makes_a_section_and_an_assistant_cannot(
    hub: RunningHub, people: Person, look: Look
) -> None:
    student = f"{hub.prefix}student1"
    page = formgrader(hub, people, "instructor1", "people")
    page.get_by_label(f"Section of {student}", exact=True).fill("Tuesday")
    page.get_by_role("button", name=f"Save the section of {student}").click()
    expect(page.get_by_label(f"Section of {student}", exact=True)).to_have_value("Tuesday")
    look(page, "33-people")
    other = page.locator("tr", has_text=f"{hub.prefix}student2")
    other.get_by_role("button", name="Has left").click()
    expect(other).to_contain_text("left")
    other.get_by_role("button", name="Is back").click()
    expect(other.get_by_role("button", name="Has left")).to_be_visible()
    page.get_by_role("link", name="Class", exact=True).click()
    page.get_by_role("link", name="Tuesday").click()
    expect(page.locator("main")).to_contain_text("1 student in the section Tuesday")
    page.close()
    page = formgrader(hub, people, "ta1", "people")
    assert page.locator("main form").count() == 0
    expect(page.locator("main")).to_contain_text("Tuesday")
    page.close()


def test_hand_ins_are_compared_and_graded_again_from_the_pages(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = formgrader(hub, people, "ta1", "similar")
    expect(page.locator("main")).to_contain_text("Not compared yet")
    page.get_by_role("button", name="Compare now").click()
    wait_for_row(page, f"compare hand-ins, {LAB}")
    page.goto(f"{hub.url}/services/course/formgrader/similar")
    expect(page.locator("main")).to_contain_text("70% or more in common")
    page.get_by_role("link", name="Changes").click()
    page.get_by_role("button", name="Grade again what changed").click()
    wait_for_row(page, f"grade again what changed, {LAB}")
    look(page, "34-queue")
    page.goto(f"{hub.url}/services/course/formgrader/changes")
    by_hand = page.get_by_role("region", name="Changes by hand")
    expect(by_hand).to_contain_text("none before, 6 now")
    expect(by_hand).to_contain_text(f"{hub.prefix}ta1")
    page.close()
    done = {(one.who.removeprefix(hub.prefix), one.what.split(",")[0]) for one in actions(hub)}
    assert ("ta1", "asked for: compare hand-ins") in done
    assert ("ta1", "answered request 1") in done and ("instructor1", "is in the section Tuesday") in done


def test_the_journal_says_that_all_of_the_week_holds(hub: RunningHub, people: Person) -> None:
    """Each hand-in of the week lacked two notebooks, for which there is no receipt."""
    page = formgrader(hub, people, "ta1", "journal")
    expect(page.locator("main")).to_contain_text(
        "both chains hold, and the gradebook says what the receipts say"
    )
    page.close()


def actions(hub: RunningHub) -> list[Action]:
    """What the staff did."""
    return list(read_actions(Instance(hub.instance)))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_can_be_read_by_everybody(hub: RunningHub, people: Person, look: Look, name: str) -> None:
    page = formgrader(hub, people, "instructor1", name)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert violations(page) == []
    look(page, f"35-{name}")
    page.set_viewport_size(PHONE)
    assert overhang(page) <= 0
    look(page, f"36-phone-{name}")
    page.close()


@pytest.mark.parametrize("name", FORMGRADERS)
def test_formgraders_pages_can_be_read_by_everybody(hub: RunningHub, people: Person, name: str) -> None:
    page = formgrader(hub, people, "ta1", name.format(student=f"{hub.prefix}student1"))
    expect(page.locator("#main-table")).not_to_contain_text("Loading")
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert overhang(page) <= 0
    page.close()


def test_a_submission_is_graded_by_who_hears_the_page(hub: RunningHub, people: Person) -> None:
    page = open_work_of_student1(hub, people, "ta1")
    expect(page.get_by_label(re.compile("^Points for ")).first).to_be_visible()
    expect(page.get_by_label(re.compile("^Comment on ")).first).to_be_visible()
    assert violations(page) == []
    page.close()


def test_icons_have_names_and_keys(hub: RunningHub, people: Person) -> None:
    student = f"{hub.prefix}student1"
    page = formgrader(hub, people, "ta1", f"gradebook/{LAB}/{WRITTEN}")
    expect(page.locator("#main-table a.name-shown", has_text=student)).to_be_hidden()
    expect(page.get_by_role("button", name="Show the name")).to_have_count(2)
    for _ in range(2):  # one that was pressed is hidden
        page.get_by_role("button", name="Show the name").first.press("Enter")
    expect(page.locator("#main-table a.name-shown", has_text=student)).to_be_visible()
    page.goto(f"{hub.url}/services/course/formgrader/manage_submissions/{LAB}")
    expect(page.get_by_role("link", name=f"Autograde, {student}", exact=True)).to_be_visible()
    page.close()


def test_no_page_advises_to_grade_without_the_sandbox(hub: RunningHub, people: Person) -> None:
    """nbgrader's own text would: `nbgrader autograde` runs a hand-in under the account of whoever types it."""
    page = formgrader(hub, people, "ta1", f"manage_submissions/{LAB}")
    page.get_by_text("What the buttons do").click()
    expect(page.get_by_text("nbgrader autograde")).to_have_count(1)
    expect(page.locator("main")).to_contain_text("Never run nbgrader autograde")
    page.close()


def test_another_sites_form_does_nothing(hub: RunningHub, people: Person) -> None:
    page = formgrader(hub, people, "instructor1", "people")
    before = len(actions(hub))
    for path, form in (
        (f"people/{hub.prefix}student1", {"change": "leave"}),
        (f"changes/{LAB}", {}),
        ("requests/1", {"answer": "forged"}),
    ):
        answer = page.request.post(
            f"{hub.url}/services/course/formgrader/{path}",
            form=form,
            headers={
                "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "https://evil.example",
            },
        )  # fmt: skip
        assert answer.status == 403, path
    assert len(actions(hub)) == before
    page.close()
