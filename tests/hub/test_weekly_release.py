"""The instructor's week in the browser: edit a percent notebook in Lab, build, look, release; then an erratum.

One story, run in its order, after the week of `test_week.py`: student 1 already works on the lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from hub_config.running import RunningHub
from tests.hub.conftest import needs_root
from tests.hub.terminals import open_terminal, run_line

pytestmark = [needs_root, pytest.mark.timeout(600)]

LAB = "Lab-3.1-Post_Training_Quantization"
NOTEBOOK = "03-Dynamic_Quantization"
OLD = "# Dynamic quantization"
NEW = "# Dynamic quantization, corrected"
Person = Callable[[str], BrowserContext]
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def source(hub: RunningHub) -> Path:
    """The percent notebook in the course's own checkout."""
    return hub.state / "course" / "checkout" / "source" / LAB / f"{NOTEBOOK}.py"


@pytest.fixture(scope="module")
def student_lab(hub: RunningHub, people: Person) -> Path:
    """Student 2's copy of the lab with a solution in it, fetched here if the week before was not run."""
    folder = hub.home("student2") / LAB
    if not folder.exists():
        page = open_terminal(people("student2"), f"{hub.url}/user/{hub.prefix}student2")
        run_line(page, hub.home("student2"), f"nbgrader fetch_assignment {LAB}")
        page.close()
    return folder


def test_an_instructor_edits_a_percent_notebook_as_a_notebook(
    hub: RunningHub, people: Person, look: Look, source: Path, student_lab: Path
) -> None:
    assert student_lab.is_dir()  # the student has the lab before its erratum
    page = people("instructor1").new_page()
    page.goto(f"{hub.url}/services/course/lab/tree/source/{LAB}?reset")
    page.locator(".jp-DirListing-item", has_text=f"{NOTEBOOK}.py").click(button="right", timeout=90_000)
    page.locator(".lm-Menu-itemLabel", has_text="Open With").hover()
    page.locator(".lm-Menu-itemLabel").get_by_text("Notebook", exact=True).last.click()
    page.locator(".jp-Notebook").wait_for(timeout=90_000)
    title = page.locator(".jp-MarkdownCell").first
    expect(title).to_contain_text("Dynamic quantization", timeout=60_000)
    title.dblclick()
    editor = title.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("End")
    page.keyboard.type(", corrected")
    look(page, "16-instructor-edits")
    page.keyboard.press("Control+s")
    for _ in range(60):
        if NEW in source.read_text("utf-8"):
            break
        page.wait_for_timeout(500)
    assert NEW in source.read_text("utf-8") and "# %%" in source.read_text("utf-8")
    page.close()


def test_the_instructor_builds_looks_and_is_stopped_without_an_erratum(
    hub: RunningHub, people: Person, look: Look
) -> None:
    page = open_terminal(people("instructor1"), f"{hub.url}/services/course")
    look(page, "17-instructor-terminal")
    text = run_line(page, hub.instance, "course build Lab-3.1 --no-execute")
    assert "release in" in text, text
    text = run_line(page, hub.instance, "COLUMNS=200 course release --week 1 --dry-run")
    assert "erratum: 03-Dynamic_Quantization cell" in text and "--erratum" in text
    published = hub.state / "exchange" / "model-compression" / "outbound" / LAB / f"{NOTEBOOK}.ipynb"
    assert NEW not in published.read_text("utf-8")
    text = run_line(page, hub.instance, "course release --week 1")
    assert "differs from what students have" in text and NEW not in published.read_text("utf-8")
    text = run_line(page, hub.instance, "course release --week 1 --erratum 'The title was wrong.'")
    assert NEW in published.read_text("utf-8"), text
    assert "The title was wrong." in (published.parent / "ERRATA.md").read_text("utf-8")
    look(page, "17-instructor-releases")
    page.close()
    record = json.loads((hub.instance / "releases.json").read_text())
    assert [item["erratum"] for item in record[LAB]] == ["", "The title was wrong."]


def test_the_button_publishes_through_the_same_command(hub: RunningHub, people: Person, look: Look) -> None:
    page = people("instructor1").new_page()
    page.goto(f"{hub.url}/services/course/formgrader/manage_assignments")
    page.locator(".release a").click()
    modal = page.locator(".modal-body")
    expect(modal).to_contain_text("A published lab is not withdrawn", timeout=20_000)
    look(page, "18-instructor-withdraws")
    page.close()


def test_the_formgrader_works_inside_lab(hub: RunningHub, people: Person, look: Look) -> None:
    page = people("instructor1").new_page()
    page.goto(f"{hub.url}/services/course/lab?reset")
    page.locator("#jp-main-dock-panel").wait_for(timeout=90_000)
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_role("menuitem", name="Formgrader", exact=True).click()
    frame = page.frame_locator("iframe").last
    expect(frame.locator(".name a").first).to_have_text(LAB, timeout=30_000)
    look(page, "19-formgrader-in-lab")
    page.close()


def test_a_student_takes_the_erratum_and_keeps_the_work(
    hub: RunningHub, people: Person, look: Look, student_lab: Path
) -> None:
    file = student_lab / f"{NOTEBOOK}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    solution = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    solution.source = "mine = 'a week of work'"
    nbformat.write(notebook, file)
    page = open_terminal(people("student2"), f"{hub.url}/user/{hub.prefix}student2")
    text = run_line(page, hub.home("student2"), f"python -m labkit.update {LAB}")
    look(page, "20-student-updates")
    after = nbformat.read(file, as_version=4)
    assert NEW in after.cells[0].source, text
    kept = next(
        cell
        for cell in after.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == solution.metadata.nbgrader.grade_id
    )
    assert kept.source == "mine = 'a week of work'"
    assert list(hub.home("student2").glob(f"{LAB}-before-update-*"))
    assert "The title was wrong." in (student_lab / "ERRATA.md").read_text("utf-8")
    page.close()
