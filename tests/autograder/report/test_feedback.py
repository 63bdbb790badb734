"""Feedback pages: what students read, and what they never see."""

from __future__ import annotations

import base64

import nbformat
import pytest

from autograder.errors import CourseError
from autograder.grade.course_grade import grade_lab
from autograder.quality.handins import replace_solution
from autograder.report.feedback import make_feedback
from tests.conftest import MiniLab

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
HOSTILE = """
from IPython.display import HTML, SVG, Javascript, Markdown, display
display(HTML("<script>alert('html')</script><b>bold</b>"), Javascript("alert('js')"), Markdown("<img src=x onerror=alert(1)>"))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'></svg>"))
display({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "widget"}, raw=True)
print("</pre><script>alert('text')</script>")
raise ValueError("<script>alert('error')</script>")
"""


@pytest.fixture
def page(fresh_mini: MiniLab) -> str:
    """The page of a student whose work is half right and wholly hostile."""
    notebook = replace_solution(
        fresh_mini.reference(),
        "largest",
        "def largest(x): return 2.0\nRunningSum = None  # </pre><script>alert('code')</script>\n",
    )
    replace_solution(
        notebook,
        "question",
        "<script>alert('answer')</script> [click](javascript:alert(1)) ![x](http://evil/x.png) ![p](attachment:p.png)",
    )
    notebook.cells[-1]["attachments"] = {"p.png": {"image/png": PNG}}
    notebook.cells.insert(2, nbformat.v4.new_code_cell(HOSTILE))
    notebook.cells.insert(
        3, nbformat.v4.new_markdown_cell("<iframe src='//evil'></iframe> <style>body{}</style>")
    )
    folder = fresh_mini.instance.submitted / "ada" / fresh_mini.lab.id
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "01-Scale.ipynb")
    grade_lab(fresh_mini.instance, fresh_mini.lab.id)
    (path,) = make_feedback(fresh_mini.instance, fresh_mini.lab.id)
    return path.read_text("utf-8")


def test_the_page_says_what_each_check_found_and_runs_nothing(page: str) -> None:
    assert "largest of nothing: 2.0, expected 0.0: an empty tensor has no maximum" in page
    assert "40 of 40 points" in page and "<b>bold</b>" in page
    assert "ok  first two values" in page
    assert f'src="data:image/png;base64,{PNG}"' in page
    lowered = page.lower()
    for active in (
        "<script",
        "<iframe",
        "<svg",
        "<img src=x",
        "onerror=alert(1)>",
        'href="javascript',
        'http://evil/x.png"',
        "<style>body",
    ):
        assert active not in lowered
    assert "default-src 'none'" in page


def test_the_page_shows_no_hidden_test(page: str) -> None:
    assert "hidden_generator" not in page and "BEGIN HIDDEN" not in page and "torch.zeros(0)" not in page


def test_feedback_before_grading_says_what_to_do(fresh_mini: MiniLab) -> None:
    with pytest.raises(CourseError, match=r"run 'course grade Lab-0.1-Mini' first"):
        make_feedback(fresh_mini.instance, fresh_mini.lab.id)
