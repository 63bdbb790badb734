"""Hand-ins whose outputs, texts and names want to become active on the page that a student or teacher opens."""

from __future__ import annotations

import base64

from nbformat import NotebookNode

from tests.adversarial.handin import Change, HandIn, both, cell, largest, scale, solve, without

EVIL = "https://evil.example/x"
TAGS = (
    "<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)></svg>"
    f"<iframe src='{EVIL}'></iframe><a href='javascript:alert(1)'>click</a><form action='{EVIL}'><input></form>"
    f"<style>@import '{EVIL}';</style><base href='{EVIL}'><meta http-equiv=refresh content='0;url={EVIL}'>"
    f"<link rel=stylesheet href='{EVIL}'><object data='{EVIL}'></object><math href='javascript:alert(1)'>x</math>"
    "<b style='background:url(https://evil.example/y)' onmouseover=alert(1)>bold</b></pre></div>"
)
MARKDOWN = (
    f"[click](javascript:alert(1)) ![picture]({EVIL}) <{EVIL}> [ref][r] [![x]({EVIL})]({EVIL})\n\n"
    f'[r]: javascript:alert(1)\n\n![x][e]\n\n[e]: {EVIL} "title"\n\n<details open ontoggle=alert(1)>\n\n'
    f"```{{=html}}\n{TAGS}\n```\n\n$$\\href{{javascript:alert(1)}}{{x}}$$ `{TAGS}`\n\n{TAGS}\n\n    {TAGS}\n"
)
FAKE_PICTURE = base64.b64encode(TAGS.encode()).decode()
SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").decode()


def shown(name: str, description: str, source: str) -> HandIn:
    """A hostile output in a cell of the student's own."""
    return HandIn(name, description, cell("from IPython.display import *\n" + source))


def answer(text: str, attachments: dict[str, dict[str, str]] | None = None) -> Change:
    """Another written answer."""

    def change(notebook: NotebookNode) -> NotebookNode:
        written = solve("question", text)(notebook).cells[-1]
        if attachments:
            written["attachments"] = attachments
        return notebook

    return change


def raw(data: str) -> str:
    """Source that displays a bundle of data as it stands."""
    return f"display({data}, raw=True)"


HAND_INS = [
    shown("active HTML", "displays HTML with everything that acts", f"display(HTML({TAGS!r}))"),
    shown(
        "active HTML in odd spelling",
        "tags that only a browser takes for tags",
        "display(HTML('<scr<script>ipt>alert(1)</scr</script>ipt><SCRIPT/x>1</SCRIPT><img/src=x/onerror=alert(1)>'"
        "'<svg><style><img src=x onerror=alert(1)></style></svg><noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">'"
        "'<math><mtext><table><mglyph><style><!--</style><img title=\"--><img src=x onerror=alert(1)>\">'"
        "'<a href=\"jav&#x09;ascript:alert(1)\">x</a><!--><script>alert(1)</script>--><![CDATA[<script>]]>'))",
    ),
    shown(
        "JavaScript",
        "displays JavaScript in three types",
        "display(Javascript('alert(1)'))\n"
        + raw(
            "{'application/javascript': 'alert(1)', 'text/javascript': 'alert(1)', 'application/ecmascript': 'alert(1)'}"
        ),
    ),
    shown(
        "SVG",
        "displays pictures that run scripts",
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>1</script></svg>\'))',
    ),
    shown("Markdown output", "displays Markdown with addresses and tags", f"display(Markdown({MARKDOWN!r}))"),
    shown(
        "LaTeX output",
        "displays mathematics with addresses",
        "display(Latex(r'$\\href{javascript:alert(1)}{x} \\unicode{<script>alert(1)</script>}$'))",
    ),
    shown(
        "a picture that is none",
        "says HTML is a PNG",
        raw(f"{{'image/png': {FAKE_PICTURE!r}, 'image/jpeg': 'x\" onerror=\"alert(1)'}}"),
    ),
    shown(
        "a picture with an active name",
        "a real picture whose description ends the attribute",
        raw(
            "{'image/png': 'iVBORw0KGgo=', 'text/plain': '\"><script>alert(1)</script><img src=\"https://evil.example/x'}"
        ),
    ),
    shown(
        "widgets and other types",
        "displays types that a page may load code for",
        raw(
            "{'application/vnd.jupyter.widget-view+json': '{}', 'application/vnd.plotly.v1+json': '<script>1</script>', 'text/html; charset=utf-7': '+ADw-script+AD4-',"
            " 'application/pdf': 'AAAA', 'text/vnd.mermaid': '<script>1</script>', 'image/svg+xml': '<svg onload=alert(1)>', 'TEXT/HTML': '<script>1</script>'}"
        ),
    ),
    shown(
        "text that ends its element",
        "prints tags on both streams",
        f"import sys\nprint({TAGS!r})\nprint({TAGS!r}, file=sys.stderr)",
    ),
    shown(
        "terminal sequences",
        "prints links, titles and colours for terminals",
        f"print('\\x1b]8;;{EVIL}\\x07click\\x1b]8;;\\x07 \\x1b]0;title\\x07 \\x1b[31mred \\x9b31m \\x00 \\u202e <script>alert(1)</script>')",
    ),
    shown(
        "an error with tags",
        "raises an error whose name, text and trace hold tags",
        f"E = type('<script>alert(1)</script>', (Exception,), dict(_render_traceback_=lambda self: [{TAGS!r}] * 3))\nraise E({TAGS!r})",
    ),
    shown(
        "a page of its own",
        "returns an object with every representation",
        f"class P:\n    _repr_html_ = _repr_markdown_ = _repr_latex_ = _repr_svg_ = _repr_javascript_ = _repr_json_ = lambda s: {TAGS!r}\n"
        f"    def _repr_mimebundle_(self, **k): return {{'text/html': {TAGS!r}, 'text/plain': {TAGS!r}}}, {{'text/html': {{'isolated': True}}}}\nP()",
    ),
    shown(
        "a page that loads itself",
        "payloads and comm messages for a notebook's front end",
        "shell = get_ipython()\nshell.payload_manager.write_payload({'source': 'page', 'data': {'text/html': '<script>alert(1)</script>'}})\n"
        "shell.payload_manager.write_payload({'source': 'set_next_input', 'text': 'alert(1)', 'replace': True})\n"
        "display(IFrame('https://evil.example', 1, 1), Audio(url='https://evil.example/a', autoplay=True), Image(url='https://evil.example/i'), FileLink('/etc/passwd'))",
    ),
    shown(
        "HTML of half a megabyte",
        "HTML whose cleaning takes long",
        "display(HTML('<b>' * 170_000 + '<script>alert(1)</script>'))",
    ),
    shown(
        "HTML nested deep",
        "tags nested deeper than a parser follows",
        "display(HTML('<div><table>' * 1500 + '<script>alert(1)</script>'))",
    ),
    HandIn(
        "an error's text in a check",
        "the error that a check reports holds tags",
        largest(f"raise ValueError({TAGS!r})"),
        without("largest"),
    ),
    HandIn(
        "an error's name in a check",
        "the class that a check reports is named like a tag",
        largest("raise E(1)", f"E = type({TAGS[:60]!r}, (Exception,), dict())\n"),
        without("largest"),
    ),
    HandIn(
        "a value in a check",
        "the value that a check shows holds tags",
        largest(f"return {TAGS!r} if x.numel() == 0 else 2.0"),
        without("largest"),
    ),
    HandIn(
        "a written answer with tags",
        "the answer to a question holds tags and addresses",
        answer(TAGS + "\n\n" + MARKDOWN),
    ),
    HandIn(
        "a written answer with pictures",
        "pasted pictures that are none",
        answer(
            "![a](attachment:a.png) ![b](attachment:b.svg) ![c](attachment:../c.png) ![d](attachment:d.png)",
            {
                "a.png": {"image/png": FAKE_PICTURE},
                "b.svg": {"image/svg+xml": SVG},
                "../c.png": {"image/png": "iVBORw0KGgo="},
                'd.png" onerror="alert(1)': {"image/png": "iVBORw0KGgo="},
                "d.png": {"text/html": FAKE_PICTURE},
            },
        ),
    ),
    HandIn(
        "Markdown cells with tags",
        "cells of the student's own hold tags and addresses",
        both(cell(TAGS, kind="markdown"), cell(MARKDOWN, kind="markdown")),
    ),
    HandIn(
        "Markdown that never ends",
        "text whose rendering takes time that grows with its square",
        both(
            cell("[" * 20_000, kind="markdown"),
            cell("*a_" * 10_000, kind="markdown"),
            cell("> " * 3_000 + "x", kind="markdown"),
            cell("`" * 20_000, kind="markdown"),
            cell("- " * 1_000 + "x", kind="markdown"),
            cell("![](" * 9_000, kind="markdown"),
            cell("|a" * 9_000 + "\n" + "|-" * 9_000, kind="markdown"),
        ),
    ),
    HandIn(
        "source that closes its element",
        "a solution whose comments hold tags",
        scale(f"# {TAGS}\nreturn torch.round(x * factor)  # ]]>--></script>"),
    ),
]
