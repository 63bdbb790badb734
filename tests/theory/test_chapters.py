"""The textbook: its snippets run, its links lead somewhere, its figures are drawn by the committed script."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from autograder.course import ROOT, load_course
from reference_impl.distillation import figures as distillation
from reference_impl.pruning import figures as pruning
from reference_impl.quantization import figures as quantization

CHAPTERS = sorted((ROOT / "theory").glob("*.md"))
LINK = re.compile(r"\]\(([^)#]*)(#[^)]*)?\)")
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRACKS = {
    "3.1": ("quantization", quantization.FIGURES),
    "3.2": ("pruning", pruning.FIGURES),
    "3.3": ("distillation", distillation.FIGURES),
}
"""A chapter's track and what its script draws."""


def number(chapter: Path) -> str:
    """A chapter's number: 3.1."""
    return chapter.stem.split("-")[0]


def text(chapter: Path) -> str:
    return chapter.read_text("utf-8")


def anchors(chapter: Path) -> set[str]:
    """The anchors that a Markdown page gives its headings."""
    headings = re.findall(r"^#+ (.*)$", text(chapter), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_snippets_run_as_they_stand(chapter: Path) -> None:
    source = "\n".join(FENCED.findall(text(chapter)))
    parsed = doctest.DocTestParser().get_doctest(source, {}, chapter.stem, str(chapter), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(parsed, out=said.append)
    assert result.attempted >= 20 and result.failed == 0, "".join(said)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_links_lead_somewhere(chapter: Path) -> None:
    for target, anchor in LINK.findall(text(chapter)):
        page = (chapter.parent / target).resolve() if target else chapter
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), anchor


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_a_chapter(chapter: Path) -> None:
    page = text(chapter)
    assert len(page.splitlines()) >= 500
    cited = set(re.findall(r"\d{4}\.\d{4,5}", page.split("## Sources")[0]))
    listed = set(re.findall(r"\d{4}\.\d{4,5}", page.split("## Sources")[1]))
    assert cited <= listed, cited - listed


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_labs_and_chapter_link_to_each_other(chapter: Path) -> None:
    labs = [lab for lab in load_course().labs if lab.track == TRACKS[number(chapter)][0]]
    assert labs
    for lab in labs:
        assert f"../source/{lab.id}/README.md" in text(chapter)
        assert f"theory/{chapter.name}" in (lab.source / "README.md").read_text("utf-8")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_is_shown_and_drawn_by_the_script(chapter: Path) -> None:
    prefix = number(chapter)
    shown = set(re.findall(rf"figures/{prefix}-(\w+)\.svg", text(chapter)))
    kept = {
        path.stem.removeprefix(f"{prefix}-") for path in (ROOT / "theory" / "figures").glob(f"{prefix}-*.svg")
    }
    assert shown == kept == set(TRACKS[prefix][1])
    assert all(caption.strip() for caption in re.findall(r"!\[([^\]]*)\]", text(chapter)))
