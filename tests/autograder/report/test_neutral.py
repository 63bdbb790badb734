"""Student output and Markdown are harmless before anyone's browser sees them."""

from __future__ import annotations

import base64
import re

import pytest
from nbconvert.filters import markdown2html

from autograder.report.neutral import neutral_html, neutral_markdown, neutral_outputs, neutral_text

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<form action=//evil><button>go</button></form>",
    "<style>@import '//evil'</style>",
    "<table style='background:url(//evil)'><tr><td onclick=alert(1)>x</td></tr></table>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
]


@pytest.mark.parametrize("html", HOSTILE)
def test_html_keeps_plain_tags_only(html: str) -> None:
    clean = neutral_html(html).lower()
    for word in (
        "script",
        "onerror",
        "onload",
        "onclick",
        "javascript:",
        "src",
        "href",
        "evil",
        "style",
        "<form",
        "<svg",
        "<meta",
    ):
        assert word not in clean


def test_a_table_survives() -> None:
    table = "<table><thead><tr><th>bits</th></tr></thead><tbody><tr><td>8</td></tr></tbody></table>"
    assert neutral_html(table) == table


ACTIVE_MARKDOWN = [
    *HOSTILE,
    "[x](javascript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "![x](http://evil/x.png)",
    "[x][a]\n\n[a]: javascript:alert(1)",
    "<http://evil>",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](attachment:other.png)",
    '[x](attachment:a.png"onerror=alert(1))',
]


@pytest.mark.parametrize("text", ACTIVE_MARKDOWN)
def test_markdown_has_no_tag_link_or_image_left(text: str) -> None:
    html = markdown2html(neutral_markdown(text, ["a.png"])).lower()
    for active in ("<img", "<script", "<svg", "<iframe", "<form", "<style", "<meta"):
        assert active not in html
    assert all(target.startswith(("http://", "https://")) for target in re.findall(r'href="([^"]*)', html))


def test_markdown_keeps_mathematics_comparisons_and_own_pictures() -> None:
    plain = "$a < b$ and `x <= 3`\n> quote and f[0] (see above)"
    assert neutral_markdown(plain) == plain
    assert neutral_markdown("$x<y$") == "$x< y$"
    assert neutral_markdown("![p](attachment:p.png)", ["p.png"]) == "![p](attachment:p.png)"
    once = neutral_markdown("[x](http://a) <b>", [])
    assert neutral_markdown(once) == once == "[x] (http://a) < b>"


def test_only_known_kinds_of_data_are_kept() -> None:
    data = {
        "text/plain": "a\x1b[31mb\x1b]8;;http://evil\x07c",
        "text/html": "<b onclick=x>bold</b>",
        "image/png": PNG,
        "image/jpeg": PNG,
        "image/svg+xml": "<svg onload=alert(1)>",
        "application/javascript": "alert(1)",
        "application/vnd.jupyter.widget-view+json": "{}",
        "text/latex": "\\href{javascript:alert(1)}{x}",
        "text/markdown": "<script>",
    }
    (output,) = neutral_outputs([{"output_type": "display_data", "data": data, "metadata": {}}])
    assert set(output.data) == {"text/plain", "text/html", "image/png"}
    assert output.data["text/plain"] == "abc" and output.data["text/html"] == "<b>bold</b>"


def test_an_output_of_unknown_kinds_only_disappears() -> None:
    assert (
        neutral_outputs(
            [{"output_type": "display_data", "data": {"application/javascript": "alert(1)"}, "metadata": {}}]
        )
        == []
    )


def test_a_picture_that_is_none_is_dropped() -> None:
    for fake in ("not base64!", base64.b64encode(b"<svg>").decode(), '" onerror="alert(1)'):
        assert (
            neutral_outputs([{"output_type": "display_data", "data": {"image/png": fake}, "metadata": {}}])
            == []
        )


def test_control_sequences_are_removed() -> None:
    assert neutral_text("a\x1b[2Jb\x00c\td\n\x1b]0;title\x07e") == "abc\td\ne"


def test_long_html_is_left_out_for_its_text() -> None:
    data = {"text/html": "<div>" * 40_000, "text/plain": "a table"}
    (output,) = neutral_outputs([{"output_type": "display_data", "data": data, "metadata": {}}])
    assert dict(output.data) == {"text/plain": "a table"}
