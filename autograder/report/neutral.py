"""Make a student's output harmless before it is stored: formgrader shows it on the grader's own origin."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import Any

import nh3
from nbformat import NotebookNode, from_dict

IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
"""Pictures that are kept, with their first bytes. SVG is a document that can run scripts, so it is not."""
TAGS = {
    "table", "thead", "tbody", "tr", "th", "td", "caption", "p", "br", "b", "i", "em", "strong", "code", "pre",
    "ul", "ol", "li", "sub", "sup", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "details", "summary",
    "div", "span",
}  # fmt: skip
CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
"""Terminal control sequences, links among them, and control characters."""
MARKDOWN_TAG = re.compile(r"<(?=[A-Za-z/!?])")
PASTED = re.compile(r"(?<=\])\(attachment:([\w.-]{1,80})\)")
LINK = re.compile(r"\]\((?!attachment:[\w.-]{1,80}\))")
HTML_CHARACTERS = 20_000
"""Longer HTML output is left out for its text form: cleaning it takes time that grows with its square."""


def neutral_html(text: str) -> str:
    """HTML with plain tags only: no script, style, handler, form, frame, link target or image."""
    return nh3.clean(text, tags=TAGS, attributes={}, link_rel=None)


def neutral_markdown(text: str, pictures: Collection[str] = ()) -> str:
    """Markdown in which no renderer finds a tag, a link or an image but those of `pictures`.

    The syntax is broken by a space, not escaped: mathematics and code stay readable, and no list of
    harmful addresses has to be complete.
    """
    text = MARKDOWN_TAG.sub("< ", text)
    text = PASTED.sub(
        lambda found: found[0] if found[1] in pictures else " (a picture that was left out)", text
    )
    return LINK.sub("] (", text).replace("]:", "] :")


def neutral_text(text: str) -> str:
    """Text without terminal control sequences."""
    return CONTROL.sub("", text)


def neutral_outputs(outputs: list[dict[str, Any]]) -> list[NotebookNode]:
    """Outputs of a cell with everything active removed or replaced by its text form."""
    kept = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            kept.append(
                {"output_type": "stream", "name": output["name"], "text": neutral_text(output["text"])}
            )
        elif kind == "error":
            lines = [neutral_text(line) for line in output["traceback"]]
            error = {
                "ename": neutral_text(output["ename"]),
                "evalue": neutral_text(output["evalue"]),
                "traceback": lines,
            }
            kept.append({"output_type": "error", **error})
        elif data := _neutral_data(output["data"]):
            kept.append({"output_type": "display_data", "data": data, "metadata": {}})
    return [from_dict(output) for output in kept]


def _neutral_data(data: dict[str, str]) -> dict[str, str]:
    kept = {}
    for kind, content in data.items():
        if kind == "text/plain":
            kept[kind] = neutral_text(content)
        elif kind == "text/html" and len(content) <= HTML_CHARACTERS:
            kept[kind] = neutral_html(content)
        elif is_picture(kind, content):
            kept[kind] = "".join(content.split())
    return kept


def is_picture(kind: str, content: str) -> bool:
    """Whether base64 `content` begins as a PNG or JPEG picture does and `kind` says the same."""
    if kind not in IMAGES:
        return False
    try:
        return base64.b64decode("".join(content.split()), validate=True).startswith(IMAGES[kind])
    except (binascii.Error, ValueError):
        return False
