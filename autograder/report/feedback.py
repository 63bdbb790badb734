"""Feedback pages: what each check measured and said, the student's own code and output, nothing active.

nbgrader's own `generate_feedback` uses these classes too (see `autograder.configuration`). The page
never shows hidden tests: a graded notebook holds the released text of its grade cells only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import nh3
from markupsafe import Markup
from nbconvert.exporters import Exporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from traitlets import Unicode

from autograder.bundle import read_bundle
from autograder.course import Instance
from autograder.errors import CourseError
from autograder.grade.rebuild import KIND
from autograder.nbgrader_api import call_nbgrader
from autograder.report.neutral import TAGS, neutral_html, neutral_markdown, neutral_outputs, neutral_text

SHOWN_SOURCE = 20_000
"""Characters of one cell's source that a page shows."""
TEMPLATES = Path(__file__).parent / "templates"


class Neutralise(NbGraderPreprocessor):  # type: ignore[misc]
    """Neutralise a graded notebook once more: a person may have edited it since it was judged."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        for cell in nb.cells:
            if cell.cell_type == "markdown" and cell.metadata.get(KIND) in ("student", "written"):
                cell.source = neutral_markdown(cell.source, cell.get("attachments", {}))
            if cell.cell_type == "code":
                cell.outputs = neutral_outputs([dict(output) for output in cell.outputs])
        return nb, resources


class FeedbackExporter(Exporter):  # type: ignore[misc]
    """Renders a graded notebook as one HTML page without scripts, links outward or remote content."""

    file_extension = Unicode(".html").tag(config=True)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        nb_copy, found = super().from_notebook_node(nb, resources, **kwargs)
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
        environment.filters.update(
            markdown=safe_markdown, python=highlighted, text=neutral_text, html=safe_html
        )
        about = found.get("nbgrader", {})
        page = environment.get_template("feedback.html.j2").render(
            about=about,
            # the lab's own prose is left out: the student has it, and formulas need a script to be shown
            cells=[
                _view(cell) for cell in nb_copy.cells if cell.metadata.get(KIND, "markdown") != "markdown"
            ],
            checks=[_view(cell) for cell in nb_copy.cells if "points" in cell.metadata.get("nbgrader", {})],
            notes=nb_copy.metadata.get("course_notes", []),
            style=HtmlFormatter(style="bw").get_style_defs(".highlight"),
        )
        return page, found


def safe_markdown(cell: dict[str, Any]) -> Markup:
    """A Markdown cell as HTML with plain tags and its own pictures; links keep their text and lose their target."""
    text = cell["source"]
    for name, data in cell["attachments"].items():
        ((kind, content),) = data.items()
        text = text.replace(f"(attachment:{name})", f"(data:{kind};base64,{content})")
    try:
        html = markdown2html(text).replace("&#182;", "")
    except (
        Exception
    ):  # nbconvert's renderer raises many types on odd Markdown; the text is then shown as it is
        return Markup("<pre>{}</pre>").format(cell["source"])
    pictures = {"img": {"src", "alt"}}
    cleaned = nh3.clean(
        html,
        tags=TAGS | {"img"},
        attributes=pictures,
        url_schemes={"data"},
        attribute_filter=_own_pictures,
        link_rel=None,
    )
    return Markup(cleaned)


def _own_pictures(tag: str, attribute: str, value: str) -> str | None:
    """Keep a picture's address only when it holds the picture: fetching another may do something for the reader."""
    return value if attribute != "src" or value.startswith("data:image/") else None


def safe_html(text: str) -> Markup:
    """HTML output with plain tags only."""
    return Markup(neutral_html(text))


def highlighted(text: str) -> Markup:
    """Python source as HTML, cut off after SHOWN_SOURCE characters."""
    shown = text if len(text) <= SHOWN_SOURCE else text[:SHOWN_SOURCE] + "\n# [the rest was cut off]"
    return Markup(highlight(shown, PythonLexer(), HtmlFormatter(nowrap=False)))


def _view(cell: NotebookNode) -> dict[str, Any]:
    """What the template needs of one cell."""
    about = cell.metadata.get("nbgrader", {})
    outputs = list(cell.get("outputs", []))
    errors = [output for output in outputs if output.output_type == "error"]
    graded = cell.metadata.get(KIND) == "grade"
    return {
        "kind": cell.metadata.get(KIND, "markdown"),
        "type": cell.cell_type,
        "source": cell.source,
        "attachments": cell.get("attachments", {}),
        "outputs": outputs,
        "name": about.get("grade_id", "").replace("_", " "),
        "anchor": about.get("grade_id", ""),
        "graded": "points" in about,
        "score": about.get("score"),
        "points": about.get("points"),
        "comment": about.get("comment"),
        "outcome": errors[0].ename if graded and errors else "pass" if graded else "",
        "message": errors[0].evalue if graded and errors else "",
    }


def make_feedback(instance: Instance, lab_id: str, student: str | None = None) -> list[Path]:
    """Write the feedback pages of a lab; return them. Raises CourseError when nothing was graded yet."""
    read_bundle(instance.bundle(lab_id))
    students = (
        [student] if student else sorted(path.parent.name for path in instance.autograded.glob(f"*/{lab_id}"))
    )
    if not students or not all((instance.autograded / name / lab_id).is_dir() for name in students):
        raise CourseError(
            f"no graded hand-in of {student or 'any student'} for {lab_id}: run 'course grade {lab_id}' first"
        )
    pages: list[Path] = []
    failures: list[str] = []
    for name in students:
        failure = call_nbgrader(instance, "generate_feedback", lab_id, name, force=True)
        if failure:
            failures.append(f"{name}: {failure[-800:]}")
        pages += sorted((instance.feedback / name / lab_id).glob("*.html"))
    if failures:
        raise CourseError(
            f"{len(pages)} pages were written; these students have none:\n" + "\n".join(failures)
        )
    return pages
