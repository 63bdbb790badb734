"""How often a right hand-in fails: a check that is wrong for some draws is found, one that is right is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from autograder.commands.chance import chance
from autograder.course import Lab
from autograder.errors import QualityError
from autograder.quality.chance import Chance, chances
from tests.labs.test_labs import COURSE, number

GRADE = (
    '# %% nbgrader={{"grade_id": "{0}", "solution": false, "grade": true, "locked": true, "points": 1, '
    '"schema_version": 3, "task": false}}\n'
)
HEAD = "# %%\nimport torch\nfrom labkit import checks\nruns = []\n\n"
DRAWN = 'drawn = torch.rand((), generator=checks.hidden_generator("x")).item()\n'


def notebook(folder: Path, *cells: str) -> Path:
    """A source notebook with these grade cells."""
    file = folder / "01-Chance.py"
    text = HEAD + "\n".join(GRADE.format(f"test_{n}") + cell for n, cell in enumerate(cells))
    file.write_text(text, "utf-8")
    return file


def test_a_check_that_is_wrong_for_some_draws_is_found_and_a_right_one_is_not(tmp_path: Path) -> None:
    sometimes = DRAWN + 'checks.assert_equal(drawn < 0.9, True, "small")\n'
    never = DRAWN + 'runs.append(drawn)\nchecks.assert_equal(0 <= drawn < 1, True, "in range")\n'
    without = 'checks.assert_equal(1, 1, "no draw")\n'
    # the cell itself must hold with the draw of an instructor's own run
    source = notebook(tmp_path, sometimes, never, without)
    found = {one.grade_id: one for one in chances(source, 0.5)}
    assert set(found) == {"test_0", "test_1"}
    assert found["test_1"].failed == {} and found["test_1"].at_most < 3.01 / found["test_1"].draws
    rate = sum(found["test_0"].failed.values()) / found["test_0"].draws
    assert found["test_0"].draws > 100 and 0.03 < rate < found["test_0"].at_most < 0.25


def test_a_notebook_that_does_not_run_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(QualityError, match=r"(?s)01-Chance\.py does not run .*ZeroDivisionError"):
        chances(notebook(tmp_path, DRAWN + "1 / 0\n"), 0)


def test_the_command_names_the_check_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [Chance("01-X", "test_a", 100, {"clipped: [0.4]": 2}), Chance("01-X", "test_b", 1000, {})]
    monkeypatch.setattr("autograder.commands.chance.chances", lambda source, seconds: given)
    done = CliRunner(env={"COLUMNS": "160"}).invoke(chance, ["Lab-3.1", "--notebook", "01"])
    assert isinstance(done.exception, QualityError) and "can fail test_a" in str(done.exception)
    assert "clipped: [0.4]" in done.stdout and "6.2%" in done.stdout and "0.3%" in done.stdout
    as_json = CliRunner().invoke(chance, ["Lab-3.1", "--notebook", "01", "--json"])
    assert [one["draws"] for one in json.loads(as_json.stdout)] == [100, 1000]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lab", [pytest.param(lab, id=number(lab)) for lab in COURSE.labs])
def test_a_right_hand_in_fails_no_check_of_the_course(lab: Lab) -> None:
    for name in lab.notebooks:
        assert {one.grade_id: one.failed for one in chances(lab.source / f"{name}.py", 5) if one.failed} == {}
