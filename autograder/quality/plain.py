"""Plain nbgrader beside the judge: the same hand-ins, stock configuration, a copy of the gradebook."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Base
from sqlalchemy import create_engine, insert, select
from sqlalchemy.pool import NullPool

from autograder.course import ROOT, Instance
from autograder.errors import CourseError
from autograder.gradebook import open_gradebook
from autograder.nbgrader_api import quiet

Scores = dict[tuple[str, str, str], float | None]
"""(student, notebook, grade_id) to the automatic score."""


@dataclass
class PlainRun:
    """What plain nbgrader made of the hand-ins, and the wall time it took."""

    scores: Scores
    seconds: float


def plain_autograde(instance: Instance, lab_id: str, folder: Path, threads: int | None = 1) -> PlainRun:
    """Run stock `nbgrader autograde` over an instance's hand-ins in `folder`, in the staff environment.

    Notebooks run in an ordinary kernel: no sandbox, no rebuild, tests beside student code. Only for
    hand-ins that are trusted. Libraries that ask OpenMP use this many `threads`, or with None as many
    as they like; the first line of every notebook sets one for torch in any case. Raises CourseError.
    """
    copy = Instance(folder)
    shutil.copytree(instance.source, copy.source)
    for handed_in in sorted(instance.submitted.glob(f"*/{lab_id}")):
        student = handed_in.parent.name
        received = instance.received / student / lab_id  # as it came, where intake has been at work
        shutil.copytree(received if received.is_dir() else handed_in, copy.submitted / student / lab_id)
    copy_gradebook(instance, copy.gradebook)
    config = folder / "configuration"
    config.mkdir()
    (config / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.root = {str(folder)!r}\nc.ClearMarkScheme.enforce_metadata = False\n"
        "c.Execute.timeout = 600\n"
    )
    command = [
        sys.executable,
        "-m",
        "nbgrader",
        "autograde",
        lab_id,
        "--force",
        f"--config={config / 'nbgrader_config.py'}",
    ]
    environment = {
        **os.environ,
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(config),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(config / "data"),
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise CourseError(f"plain nbgrader autograde failed:\n{done.stderr[-3000:]}")
    return PlainRun(automatic_scores(copy, lab_id), seconds)


def copy_gradebook(instance: Instance, file: Path) -> None:
    """A consistent copy of an instance's gradebook in a new SQLite file, whatever database it is in."""
    with open_gradebook(instance) as gradebook:
        database = gradebook.db.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        if database.dialect.name == "sqlite":
            database.exec_driver_sql(f"VACUUM INTO '{file}'")
            return
        target = create_engine(f"sqlite:///{file}", poolclass=NullPool)
        Base.metadata.create_all(target)
        with target.begin() as copy:
            for table in Base.metadata.sorted_tables:
                rows = [dict(row) for row in database.execute(select(table)).mappings()]
                if rows:
                    copy.execute(insert(table), rows)


def automatic_scores(instance: Instance, lab_id: str) -> Scores:
    """Every automatic score of a lab in an instance's gradebook."""
    scores: Scores = {}
    with open_gradebook(instance) as gradebook, quiet():
        for submission in gradebook.assignment_submissions(lab_id):
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    if grade.cell_type == "code":
                        scores[submission.student_id, notebook.name, grade.name] = grade.auto_score
    return scores
