"""Pages of the course service: the policy, the nonce, and a hostile notebook on the grading page."""

from __future__ import annotations

import base64
import re

import nbformat
import pytest
from jinja2 import DictLoader, Environment
from nbformat import NotebookNode
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from autograder.course import ROOT
from autograder.service.safe_pages import (
    GradingPageExporter,
    NonceLoader,
    new_nonce,
    page_environment,
    policy,
)

EVIL = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'><svg onload='window.pwned=1'/>"


@pytest.fixture(autouse=True)
def jupyter_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """nbconvert's templates lie in the students' environment, as for the service."""
    monkeypatch.setenv("JUPYTER_PATH", str(ROOT / ".venv" / "share" / "jupyter"))


def grading_page(notebook: NotebookNode) -> str:
    """The page of a notebook."""
    config = Config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    resources = {
        "assignment_id": "Lab", "notebook_id": "01", "submission_id": "1", "index": 0, "total": 1, "base_url": "/x",
        "student": "s", "last_name": None, "first_name": None, "notebook_path": "p",
    }  # fmt: skip
    return str(GradingPageExporter(config=config).from_notebook_node(notebook, resources)[0])


def hostile() -> NotebookNode:
    """Everything active that a notebook can carry."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"a": EVIL}}}
    notebook.metadata["title"] = EVIL
    notebook.metadata["language_info"] = {"name": EVIL, "pygments_lexer": EVIL}
    written = nbformat.v4.new_markdown_cell(f"{EVIL} [a](javascript:alert(1)) ![b](attachment:c.svg)")
    written.metadata["nbgrader"] = {
        "grade_id": "q", "grade": True, "solution": True, "points": 3, "locked": False, "schema_version": 3,
    }  # fmt: skip
    written.attachments = {
        "c.svg": {"image/svg+xml": EVIL},
        "d.png": {"image/png": "AAAA", "text/html": EVIL},
    }
    code = nbformat.v4.new_code_cell("print('</pre><script>1</script>')")
    data = {
        "text/html": EVIL, "image/svg+xml": EVIL, "application/javascript": "window.pwned = 1", "text/markdown": EVIL,
        "text/latex": "\\href{javascript:1}{x}", "text/plain": "plain",
        "application/vnd.jupyter.widget-view+json": {"model_id": "a"},
    }  # fmt: skip
    code.outputs = [nbformat.from_dict({"output_type": "display_data", "data": data, "metadata": {}})]
    raw = nbformat.v4.new_raw_cell(EVIL)
    raw.metadata["format"] = raw.metadata["raw_mimetype"] = "text/html"
    notebook.cells = [written, code, raw, nbformat.v4.new_markdown_cell(EVIL)]
    return notebook


def test_a_hostile_notebook_brings_nothing_active_into_the_grading_page() -> None:
    nonce = new_nonce()
    page = grading_page(hostile())
    ours = re.findall(rf'<script nonce="{re.escape(nonce)}"', page)
    assert len(re.findall(r"<script", page)) == len(ours) > 5
    assert "pwned" not in re.sub(r"<div class=\"highlight.*?</div>", "", page, flags=re.DOTALL)
    for active in (
        'href="javascript',
        'src="x',
        "<svg",
        "onerror",
        "onload",
        "widget-view",
        "widget-state",
        "image/svg",
    ):
        assert active not in page, active
    assert re.findall(r'\son\w+="([^"]*)"', page) == ["toggle_name(true);", "toggle_name(false);"]


def test_nothing_of_a_page_comes_from_another_machine() -> None:
    new_nonce()
    page = grading_page(hostile())
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]*\"", page) == []


def test_the_policy_names_nonce_and_handlers_and_nothing_wider() -> None:
    text = policy("abc")
    rules = dict(rule.split(" ", 1) for rule in text.split("; "))
    assert rules["default-src"] == "'none'" and rules["script-src"] == "'nonce-abc'"
    assert "unsafe-eval" not in text and "unsafe-inline" not in rules["script-src"] and "http" not in text
    assert rules["frame-ancestors"] == "'self'" and rules["base-uri"] == "'none'"
    hashes = re.findall(r"'sha256-([^']+)'", rules["script-src-attr"])
    assert hashes and all(len(base64.b64decode(item)) == 32 for item in hashes)


def test_each_response_has_a_nonce_of_its_own_on_template_scripts_only() -> None:
    environment = Environment(
        loader=NonceLoader(DictLoader({"page": "<script>1</script>{{ text }}"})), autoescape=False
    )
    environment.globals["csp_nonce"] = page_environment().globals["csp_nonce"]
    first = new_nonce()
    page = environment.get_template("page").render(text="<script>2</script>")
    assert page == f'<script nonce="{first}">1</script><script>2</script>'
    assert new_nonce() != first


def test_pages_escape_what_their_address_brings() -> None:
    new_nonce()
    page = (
        page_environment()
        .get_template("manage_submissions.tpl")
        .render(base_url="/x", assignment_id='"</script><script>alert(1)</script>', course_dir="/c")
    )
    assert "<script>alert" not in page
