"""Pages that the week in the browser does not come by: statistics with their plots, a pair of alike hand-ins, feedback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page

from autograder.grade.course_grade import grade_lab
from autograder.report.feedback import make_feedback
from autograder.report.similarity import keep, similar_hand_ins
from tests.autograder.report.test_class_glance import hand_in
from tests.autograder.report.test_similarity import ONE, RENAMED
from tests.autograder.report.test_similarity import hand_in as hand_in_code
from tests.autograder.service.running import RunningCourse
from tests.conftest import MiniLab
from tests.handin.running import StandInHub
from tests.hub.accessible import PHONE, overhang, violations


@pytest.fixture(scope="module")
def course(mini: MiniLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCourse]:
    """The course service: ada is graded and has feedback, bob and eve have handed in code that is alike."""
    lab = mini.copy(tmp_path_factory.mktemp("readable") / "instance")
    hand_in(lab, "ada", lab.course.due(lab.lab) - timedelta(hours=1), solved=False)
    grade_lab(lab.instance, lab.lab.id)
    make_feedback(lab.instance, lab.lab.id)
    for who, code in (("bob", ONE), ("eve", RENAMED)):
        hand_in_code(lab, who, code)
    keep(lab.instance, lab.lab.id, similar_hand_ins(lab.instance, lab.lab.id, 0.5))
    hub = StandInHub()
    running = RunningCourse(lab.instance, hub, tmp_path_factory.mktemp("service"))
    yield running
    running.stop()
    hub.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of an instructor."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 900}, extra_http_headers={"Authorization": "token token-ines"}
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", ["statistics", "pair", "feedback"])
def test_it_can_be_read_by_everybody(course: RunningCourse, page: Page, name: str) -> None:
    (feedback,) = course.instance.feedback.rglob("*.html")
    lab = feedback.parent.name
    address = {
        "statistics": f"{course.url}/statistics/{lab}",
        "pair": f"{course.url}/similar/{lab}/01-Scale/bob/eve",
        "feedback": feedback.as_uri(),
    }[name]
    page.goto(address)
    assert page.locator("h1").count() == 1
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert overhang(page) <= 0


def test_each_plot_says_what_it_shows(course: RunningCourse, page: Page) -> None:
    page.goto(f"{course.url}/statistics/Lab-0.1-Mini")
    assert page.get_by_role("img").count() == 2
    assert page.get_by_role("img", name="Histogram of points: 1 up to").count() == 1
    page.get_by_role("link", name="Class").click()
    assert page.locator("h1").inner_text() == "The class"
