"""Released labs while an erratum takes the place of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from handin.published import Published

from handin import published

LAB = "Lab-0.1-Mini"


def folder_of(root: Path, name: str) -> Path:
    """A release with one notebook, under a name."""
    (root / name).mkdir()
    (root / name / "01-Scale.ipynb").write_text("{}")
    return root / name


@pytest.mark.parametrize("look", ["labs", "has", "package"])
def test_a_lab_between_two_renames_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    folder_of(tmp_path, f".{LAB}.old")
    coming = folder_of(tmp_path, f".{LAB}.new")
    monkeypatch.setattr(published.time, "sleep", lambda _: coming.rename(tmp_path / LAB))
    labs = Published(tmp_path)
    if look == "labs":
        assert labs.labs() == {LAB: ["01-Scale.ipynb"]}
    elif look == "has":
        assert labs.has(LAB)
    else:
        assert labs.package(LAB)


def test_nobody_waits_for_a_lab_that_is_not_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, LAB)
    folder_of(tmp_path, ".Lab-0.2-First.new")  # its first release
    folder_of(tmp_path, ".Lab-0.3-Gone.withdrawn")
    monkeypatch.setattr(published.time, "sleep", lambda _: pytest.fail("it waits"))
    labs = Published(tmp_path)
    assert list(labs.labs()) == [LAB] and not labs.has("Lab-0.2-First") and not labs.has("Lab-0.4-Unknown")
    with pytest.raises(KeyError):
        labs.package("Lab-0.3-Gone")


def test_a_release_that_was_killed_between_the_renames_hides_no_other(tmp_path: Path) -> None:
    folder_of(tmp_path, LAB)
    for what in ("old", "new"):
        folder_of(tmp_path, f".Lab-0.2-Killed.{what}")
    assert list(Published(tmp_path).labs()) == [LAB]
