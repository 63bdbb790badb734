"""nbgrader's configuration for an instance, the same for `course`, nbgrader's CLI and formgrader.

`prepare_instance` writes an nbgrader_config.py that calls `configure`, so that whatever starts
nbgrader in the instance folder rebuilds and judges instead of executing hand-ins.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from traitlets.config import Config

from autograder.course import COURSE_ID, ROOT, Instance

CONFIG_FILE = '''"""Written by the course; nbgrader started in this folder uses the judge."""

from pathlib import Path

from autograder.configuration import configure

configure(get_config(), Path(__file__).resolve().parent)  # noqa: F821
'''


def configure(config: Config, root: Path) -> None:
    """Fill in an nbgrader configuration for the instance at `root`."""
    tools = str(ROOT / ".venv" / "bin")
    if tools not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(
            [tools, os.environ.get("PATH", "")]
        )  # nbgrader starts `alembic` by name
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = COURSE_ID
    config.CourseDirectory.db_url = Instance(root).gradebook_url
    config.Exchange.root = str(Instance(root).exchange)
    config.ExchangeFactory.collect = "autograder.exchange.Collect"
    config.ExchangeFactory.release_feedback = "autograder.exchange.ReleaseFeedback"
    config.ClearMarkScheme.enforce_metadata = False
    config.Autograde.pre_convert_hook = "autograder.grade.preprocessors.take_in"
    config.Autograde.sanitize_preprocessors = ["autograder.grade.preprocessors.Rebuild"]
    config.Autograde.autograde_preprocessors = [
        "autograder.grade.preprocessors.Judge",
        "autograder.grade.preprocessors.SaveJudgedGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    config.GenerateFeedback.preprocessors = [
        "nbgrader.preprocessors.GetGrades",
        "autograder.report.feedback.Neutralise",
    ]
    config.GenerateFeedback.exporter_class = "autograder.report.feedback.FeedbackExporter"


def nbgrader_configuration(instance: Instance) -> Config:
    """The same configuration as an object."""
    config = Config()
    configure(config, instance.root)
    return config


def prepare_instance(instance: Instance) -> None:
    """Create the folders, the configuration file and the secret of an instance, where they are missing."""
    instance.root.mkdir(parents=True, exist_ok=True)
    instance.root.chmod(0o700)
    for folder in (instance.source, instance.submitted, instance.bundles, instance.verdicts):
        folder.mkdir(exist_ok=True)
    (instance.root / "nbgrader_config.py").write_text(CONFIG_FILE, "utf-8")
    if not instance.secret.exists():
        instance.secret.touch(mode=0o600)
        instance.secret.write_text(secrets.token_hex(32))
