"""Formgrader's pages with a Content-Security-Policy: only scripts of nbgrader's own templates run.

nbgrader's templates carry inline scripts and handlers. Each `<script` in a template's text gets the
nonce of the response, and each handler attribute found there is allowed by its hash; what a notebook
brings into a page has neither, so the browser does not run it, even if it was not cleaned before.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import pass_context
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.server_extensions.formgrader import handlers

from autograder.report.feedback import safe_markdown
from autograder.report.neutral import is_picture, neutral_outputs

TEMPLATES = Path(__file__).parent / "templates"
NO_MATHJAX = """
{%- macro mathjax(url="") -%}
<script>
window.MathJax = {Hub: {Startup: {signal: {Interest: function (tell) { $(function () { tell("End"); }); }}}}};
</script>
{%- endmacro %}
"""
"""In place of nbconvert's macro, which loads MathJax from another machine; formgrader's script waits for it."""
_nonce: ContextVar[str] = ContextVar("nonce")
_SCRIPT = re.compile(r"<script\b")
_HANDLER = re.compile(r"\son[a-z]+=\"([^\"]*)\"", re.IGNORECASE)


def new_nonce() -> str:
    """A nonce for one response, remembered for the templates that are rendered in its context."""
    nonce = secrets.token_urlsafe(18)
    _nonce.set(nonce)
    return nonce


def policy(nonce: str) -> str:
    """The Content-Security-Policy of one page. `frame-ancestors 'self'`: the page is also shown inside Lab."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"script-src-attr 'unsafe-hashes' {' '.join(_handler_hashes())}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'self'",
        ]
    )


def _handler_hashes() -> list[str]:
    """Hashes of the event handlers that nbgrader's templates hold."""
    texts = [path.read_text("utf-8") for path in Path(handlers.template_path).rglob("*") if path.is_file()]
    code = sorted({found for text in texts for found in _HANDLER.findall(text)})
    return [f"'sha256-{base64.b64encode(hashlib.sha256(item.encode()).digest()).decode()}'" for item in code]


class NonceLoader(jinja2.BaseLoader):
    """Loads templates from another loader, with a nonce on every script of their text."""

    def __init__(self, inner: jinja2.BaseLoader) -> None:
        self.inner = inner

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """The template's text."""
        text, name, fresh = self.inner.get_source(environment, template)
        return _SCRIPT.sub('<script nonce="{{ csp_nonce() }}"', text), name, fresh


def page_environment() -> jinja2.Environment:
    """The templates of formgrader's pages; `nbgrader/NAME` is nbgrader's own one of that name."""
    own = jinja2.FileSystemLoader(handlers.template_path)
    loader = jinja2.ChoiceLoader(
        [
            jinja2.FileSystemLoader(TEMPLATES),
            own,
            jinja2.PrefixLoader({"nbgrader": own}),
            jinja2.PackageLoader("autograder.report"),
        ]
    )
    # autoescape, which nbgrader's own environment lacks: names come from the address of the page
    environment = jinja2.Environment(loader=NonceLoader(loader), autoescape=True)
    environment.globals["csp_nonce"] = _nonce.get
    return environment


class GradingPageExporter(HTMLExporter):  # type: ignore[misc]
    """Renders one submission for grading: nbgrader's template, nothing active of the student's."""

    def _create_environment(self) -> jinja2.Environment:
        environment: jinja2.Environment = super()._create_environment()
        assert environment.loader is not None
        own = jinja2.DictLoader({"mathjax.html.j2": NO_MATHJAX})
        environment.loader = NonceLoader(jinja2.ChoiceLoader([own, environment.loader]))
        environment.globals["csp_nonce"] = _nonce.get
        return environment

    def default_filters(self) -> Any:
        """nbconvert's filters, with Markdown rendered to plain tags."""
        yield from super().default_filters()
        yield ("markdown2html", _cell_as_html)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page; whatever wrote the notebook, its outputs are cleaned once more."""
        nb.metadata = NotebookNode()
        nb.cells = [cell for cell in nb.cells if cell.cell_type in ("code", "markdown")]
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = neutral_outputs([dict(output) for output in cell.outputs])
            elif "attachments" in cell:
                cell.attachments = {
                    name: data for name, data in cell.attachments.items() if _is_one_picture(data)
                }
        return super().from_notebook_node(nb, resources, **options)  # type: ignore[no-any-return]


def _is_one_picture(data: dict[str, str]) -> bool:
    return len(data) == 1 and all(is_picture(kind, content) for kind, content in data.items())


@pass_context
def _cell_as_html(context: jinja2.runtime.Context, source: str) -> Markup:
    cell = context.get("cell", {})
    return safe_markdown({"source": source, "attachments": cell.get("attachments", {})})
