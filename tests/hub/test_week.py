"""A week in the browser: fetch, work, validate, submit; collect, grade, judge by hand, give back; read.

The tests of this file are one story and run in its order. Student 1 hands in honest work whose text
tries to run code; student 2 hands in an attack.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from autograder.bundle import Bundle, read_bundle
from autograder.demo.scenarios import ATTACK
from autograder.quality.handins import reference_notebook, released_notebook
from hub_config.running import RunningHub
from tests.hub.conftest import needs_root

pytestmark = [needs_root, pytest.mark.timeout(900)]

LAB = "Lab-3.1-Post_Training_Quantization"
WRITTEN, QUICK = "02-Static_Quantization", "03-Dynamic_Quantization"
HOSTILE = (
    "I measured it. <script>window.pwned = 1</script> <img src=x onerror='window.pwned = 1'> "
    "<svg onload='window.pwned = 1'></svg> [look](javascript:window.pwned=1) <iframe srcdoc='<script>1</script>'></iframe>"
)
SHOWS = """
from IPython.display import HTML, SVG, Javascript, display
display(HTML("<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"))
display(Javascript("window.pwned = 1"))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='window.pwned = 1'><circle r='9'/></svg>"))
import ipywidgets
display(ipywidgets.HTML("<img src=x onerror='window.pwned = 1'>"))
"""
Person = Callable[[str], BrowserContext]
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def bundle(hub: RunningHub) -> Bundle:
    """What the course knows of the lab."""
    return read_bundle(hub.instance / "bundle" / f"{LAB}.json")


def write_as(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Put a notebook into a person's folder as that person."""
    owner = path.parent.stat()
    nbformat.write(notebook, path)
    os.chown(path, owner.st_uid, owner.st_gid)


def assignments(page: Page) -> None:
    """Open the Assignment List in JupyterLab."""
    page.wait_for_selector("#jp-main-dock-panel", timeout=90_000)
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_role("menuitem", name="Assignment List").click()
    page.get_by_text("Released assignments", exact=True).wait_for()


def lab_of(hub: RunningHub, people: Person, name: str) -> Page:
    """A person's JupyterLab in a new tab."""
    page = people(name).new_page()
    page.goto(f"{hub.url}/user/{hub.prefix}{name}/lab?reset")
    return page


def formgrader(hub: RunningHub, people: Person, name: str, path: str = "manage_assignments") -> Page:
    """A page of formgrader in a new tab; an error of its scripts fails the test."""
    page = people(name).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"{path}: {error}"))
    page.goto(f"{hub.url}/services/course/formgrader/{path}")
    return page


def wait_for_job(page: Page, title: str) -> None:
    """Until the queue shows a job as done."""
    line = page.locator("#course-queue li", has_text=title).first
    expect(line.locator(".label")).to_have_text("done", timeout=200_000)


def test_a_student_fetches_the_lab(hub: RunningHub, people: Person, look: Look, lab_folder: Path) -> None:
    page = lab_of(hub, people, "student1")
    assignments(page)
    look(page, "01-student-assignments")
    page.get_by_role("button", name="Fetch", exact=True).click()
    page.get_by_role("button", name="Submit").wait_for(timeout=30_000)
    assert (
        sorted(path.name for path in lab_folder.glob("*.ipynb"))[0] == "01-Setup_and_Basic_Quantization.ipynb"
    )
    assert hub.home("student1").stat().st_mode & 0o077 == 0
    page.close()


def test_the_student_runs_and_validates_a_notebook(
    hub: RunningHub, people: Person, look: Look, lab_folder: Path, bundle: Bundle
) -> None:
    write_as(lab_folder / f"{QUICK}.ipynb", reference_notebook(bundle.notebook(QUICK)))
    page = people("student1").new_page()
    page.goto(f"{hub.url}/user/{hub.prefix}student1/lab/tree/{LAB}/{QUICK}.ipynb")
    page.get_by_role("button", name="Validate").wait_for(timeout=90_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    page.get_by_role("menuitem", name="Run").first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    expect(page.locator(".jp-OutputArea-output", has_text="ok  ").first).to_be_visible(timeout=120_000)
    look(page, "02-student-ran")
    page.get_by_role("button", name="Validate").click()
    expect(page.locator(".jp-Dialog")).to_contain_text("passes all the tests", timeout=180_000)
    look(page, "03-student-validated")
    page.close()


def test_the_students_submit(
    hub: RunningHub, people: Person, look: Look, lab_folder: Path, bundle: Bundle
) -> None:
    written = reference_notebook(bundle.notebook(WRITTEN))
    for cell in written.cells:
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = HOSTILE
    written.cells.insert(2, nbformat.v4.new_code_cell(SHOWS))
    written.cells.insert(2, nbformat.v4.new_markdown_cell(HOSTILE))
    attack = released_notebook(bundle.notebook(QUICK))
    for cell, known in zip(attack.cells, bundle.notebook(QUICK).cells, strict=True):
        if known.kind == "solution":
            cell.source = "\n".join(f"{name} = lambda *args, **kwargs: Agrees()" for name in known.defines)
    attack.cells.insert(2, nbformat.v4.new_code_cell(ATTACK))
    for name, notebooks in (("student1", {WRITTEN: written}), ("student2", {QUICK: attack})):
        page = lab_of(hub, people, name)
        assignments(page)
        if name == "student2":
            page.get_by_role("button", name="Fetch", exact=True).click()
            page.get_by_role("button", name="Submit").wait_for(timeout=30_000)
        folder = hub.home(name) / LAB
        for notebook_id, notebook in notebooks.items():
            write_as(folder / f"{notebook_id}.ipynb", notebook)
        for path in folder.glob("0[14]-*.ipynb"):
            path.unlink()  # grading four notebooks a student would take minutes
        page.get_by_role("button", name="Submit").click()
        page.get_by_text(re.compile(r"^\d{4}-\d\d-\d\d .* UTC$")).first.wait_for(timeout=30_000)
        look(page, f"04-{name}-submitted")
        page.close()


def test_an_assistant_collects_and_autogrades(hub: RunningHub, people: Person, look: Look) -> None:
    page = formgrader(hub, people, "ta1")
    page.locator(".collect a").click()
    wait_for_job(page, f"collect {LAB}")
    expect(page.locator(".num-submissions")).to_have_text("2", timeout=20_000)
    look(page, "05-assistant-collected")
    page.goto(f"{hub.url}/services/course/formgrader/manage_submissions/{LAB}")
    expect(page.locator("#main-table .autograde a")).to_have_count(2, timeout=20_000)
    for name in ("student1", "student2"):
        page.locator("#main-table tr", has_text=hub.prefix + name).locator(".autograde a").click()
    expect(page.locator("#course-queue li .label").first).to_be_visible()
    look(page, "06-assistant-queued")
    for name in ("student1", "student2"):
        wait_for_job(page, f"grade {hub.prefix}{name}")
    expect(page.locator(".status .label-warning")).to_have_count(0, timeout=20_000)
    look(page, "07-assistant-graded")
    page.goto(f"{hub.url}/services/course/formgrader/queue")
    expect(page.locator("#main-table")).to_contain_text("42", timeout=20_000)
    look(page, "08-queue")
    page.close()


def open_work_of_student1(hub: RunningHub, people: Person, name: str) -> Page:
    """The grading page of student 1's written notebook. The list gives no names, and its order is by chance."""
    for number in (1, 2):
        page = formgrader(hub, people, name, f"gradebook/{LAB}/{WRITTEN}")
        page.get_by_text(f"Submission #{number}").click()
        page.wait_for_url(re.compile(r"/formgrader/submissions/"))  # until it is loaded, every cell of it
        if page.locator(".nbgrader_cell", has_text="I measured it.").count():
            return page
        page.close()
    raise AssertionError("student 1's answer is on no grading page")


def scores(hub: RunningHub) -> dict[str, dict[str, float]]:
    """Points of each notebook as the judge wrote them down."""
    found: dict[str, dict[str, float]] = {}
    for path in (hub.instance / "verdicts" / LAB).rglob("*.json"):
        verdict = json.loads(path.read_text())
        name = path.parent.name.removeprefix(hub.prefix)
        found.setdefault(name, {})[path.stem] = sum(cell["points"] for cell in verdict["cells"])
    return found


def test_honest_work_has_its_points_and_the_cheat_none(hub: RunningHub) -> None:
    found = scores(hub)
    assert found["student1"] == {WRITTEN: 22.0, QUICK: 20.0}
    assert set(found["student2"].values()) == {0.0}


def test_the_cheat_stays_at_0_after_the_instructor_grades_again(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = formgrader(hub, people, "instructor1", f"manage_submissions/{LAB}")
    row = page.locator("#main-table tr", has_text=f"{hub.prefix}student2")
    expect(row.locator(".score")).to_have_text("0 / 100")
    row.locator(".autograde a").click()
    expect(page.locator("#course-queue li .label-primary, #course-queue li .label-default")).to_have_count(1)
    wait_for_job(page, f"grade {hub.prefix}student2")
    expect(row.locator(".score")).to_have_text("0 / 100")
    expect(page.get_by_role("status")).to_contain_text(
        f"grade {hub.prefix}student2, {LAB}: done"
    )  # is read aloud
    look(page, "09-instructor-regraded")
    assert set(scores(hub)["student2"].values()) == {0.0}
    page.close()


def test_the_assistant_grades_the_written_question_and_nothing_hostile_runs(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = open_work_of_student1(hub, people, "ta1")
    dialogues: list[str] = []
    page.on("dialog", lambda dialogue: dialogues.append(dialogue.message))
    page.reload()
    answer = page.locator(".nbgrader_cell", has_text="I measured it.").last
    answer.scroll_into_view_if_needed()
    look(page, "10-assistant-grading-page")
    assert page.evaluate("window.pwned") is None and dialogues == []
    assert (
        page.locator(
            "#notebook-container script, #notebook-container svg, #notebook-container iframe"
        ).count()
        == 0
    )
    assert page.locator("#notebook-container [onerror], #notebook-container [onload]").count() == 0
    with page.expect_response(lambda response: "/api/grade/" in response.url) as put:
        answer.locator("input.score").fill("6")
        answer.locator("input.score").press("Tab")
    assert put.value.ok
    with page.expect_response(lambda response: "/api/comment/" in response.url) as put:
        answer.locator("textarea").fill("Well argued. <script>window.pwned = 1</script>")
        answer.locator("textarea").press("Tab")
    assert put.value.ok
    page.goto(f"{hub.url}/services/course/formgrader/manage_submissions/{LAB}")
    row = page.locator("#main-table tr", has_text=f"{hub.prefix}student1")
    expect(row.locator(".score")).to_have_text("48 / 100")
    page.close()


def test_a_hostile_notebook_that_was_never_cleaned_runs_nothing_either(
    hub: RunningHub, people: Person
) -> None:
    """What if the graded notebook did not come from the judge? The page is the last wall."""
    path = hub.instance / "autograded" / f"{hub.prefix}student1" / LAB / f"{WRITTEN}.ipynb"
    kept = path.read_text("utf-8")
    notebook = nbformat.reads(kept, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source += "\n\n" + HOSTILE
        else:
            data = {
                "text/html": HOSTILE,
                "image/svg+xml": HOSTILE,
                "application/javascript": "window.pwned = 1",
            }
            cell.outputs = [nbformat.from_dict({"output_type": "display_data", "data": data, "metadata": {}})]
    path.chmod(0o600)
    path.write_text(nbformat.writes(notebook), "utf-8")
    try:
        page = open_work_of_student1(hub, people, "instructor1")
        page.wait_for_timeout(500)  # time for a handler to run
        assert page.evaluate("window.pwned") is None
        page.close()
    finally:
        path.write_text(kept, "utf-8")


def test_feedback_is_given_back_and_read(hub: RunningHub, people: Person, look: Look) -> None:
    page = formgrader(hub, people, "ta1", f"manage_submissions/{LAB}")
    row = page.locator("#main-table tr", has_text=f"{hub.prefix}student1")
    row.locator(".generate-feedback a").click()
    wait_for_job(page, f"write feedback for {hub.prefix}student1")
    row.locator(".release-feedback a").click()
    wait_for_job(page, f"give feedback back to {hub.prefix}student1")
    look(page, "11-assistant-feedback")
    page.close()
    student = lab_of(hub, people, "student1")
    assignments(student)
    student.get_by_role("button", name="Fetch Feedback").click()
    student.get_by_text("(view feedback)").wait_for(timeout=30_000)
    look(student, "12-student-feedback-list")
    pages = sorted((hub.home("student1") / LAB / "feedback").rglob("*.html"))
    assert [path.stem for path in pages] == [WRITTEN, QUICK]
    address = f"{hub.url}/user/{hub.prefix}student1/files/{pages[0].relative_to(hub.home('student1'))}"
    student.goto(address)
    expect(student.locator("body")).to_contain_text("Well argued.")
    assert student.evaluate("window.pwned") is None
    assert student.locator("script, svg, iframe, [onerror]").count() == 0
    look(student, "13-student-reads-feedback")
    student.close()


def test_a_second_student_reaches_none_of_it(hub: RunningHub, people: Person, look: Look) -> None:
    page = lab_of(hub, people, "student2")
    assignments(page)
    assert "student1" not in page.locator("#jp-main-dock-panel").inner_text()
    for path in (
        f"/user/{hub.prefix}student1/lab",
        f"/user/{hub.prefix}student1/api/contents",
        "/services/course/formgrader/gradebook",
        "/services/course/formgrader/api/submissions/" + LAB,
        "/services/course/lab",
        "/services/course/api/contents",
        "/hub/admin",
    ):
        answer = page.goto(hub.url + path)
        assert answer is not None and answer.status in (403, 404), (path, answer and answer.status)
    look(page, "14-student-refused")
    page.close()
