"""How often would a right hand-in fail a check by chance?

Hidden inputs are drawn anew for every hand-in, so a check that is wrong for one draw in a hundred costs some honest
student points, and hardly ever shows in a test. Here a source notebook is run once with the reference, and each grade
cell that draws hidden inputs is then run again with other draws, in the same process and without a sandbox: a few
milliseconds each instead of half a minute.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from autograder.build.percent import read_source
from autograder.course import ROOT
from autograder.errors import QualityError

FEWEST_DRAWS = 3
MOST_DRAWS = 1_000
LONGEST_SECONDS = 1_200
"""For one notebook with all its draws."""


@dataclass(frozen=True)
class Chance:
    """One grade cell: how many draws were tried, and what failed how often."""

    notebook: str
    grade_id: str
    draws: int
    failed: dict[str, int]

    @property
    def at_most(self) -> float:
        """The rate (0 to 1) below which the true one lies with 95% confidence (Clopper and Pearson 1934)."""
        count = sum(self.failed.values())
        return 1.0 if count == self.draws else float(stats.beta.ppf(0.95, count + 1, self.draws - count))


def chances(source: Path, seconds: float) -> list[Chance]:
    """Try other draws for each grade cell of a source notebook, `seconds` for each cell, in a process of its own.

    Raises QualityError with what the notebook said when it does not run.
    """
    command = [sys.executable, "-m", "autograder.quality.chance", str(source), str(seconds)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory(prefix="chance") as folder:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
    if done.returncode != 0:
        raise QualityError(f"{source.name} does not run with the reference: {done.stderr[-1500:]}")
    return [Chance(**one) for one in json.loads(done.stdout.splitlines()[-1])]


def _tried(source: Path, seconds: float) -> list[Chance]:
    _, cells = read_source(source)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = []
    for cell in cells:
        if cell.node.cell_type != "code":
            continue
        code = compile(cell.source, cell.where, "exec")
        _run(code, names)
        if cell.kind == "grade" and cell.grade_id and "hidden_generator" in cell.source:
            found.append(_draw(source.stem, cell.grade_id, code, names, seconds))
    return found


def _draw(notebook: str, grade_id: str, code: Any, names: dict[str, Any], seconds: float) -> Chance:
    from labkit import checks

    failed: Counter[str] = Counter()
    draws, started = 0, time.monotonic()
    while draws < FEWEST_DRAWS or (time.monotonic() - started < seconds and draws < MOST_DRAWS):
        draws += 1
        checks.set_hidden_seed(draws)
        try:
            _run(code, dict(names))
        except checks.CheckFailed as error:
            failed[str(error)[:200]] += 1
    checks.set_hidden_seed(0)
    return Chance(notebook, grade_id, draws, dict(failed))


def _run(code: Any, names: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)  # noqa: S102 - the course's own notebook


if __name__ == "__main__":
    print(json.dumps([asdict(one) for one in _tried(Path(sys.argv[1]), float(sys.argv[2]))]))
