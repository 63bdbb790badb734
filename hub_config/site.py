"""Where one deployment keeps things and who is who in it; written once, read by the Hub's configuration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

HANDIN = "handin"
"""Name of the hand-in service: it is served below /services/handin/."""
SITE_VARIABLE = "COURSE_HUB_SITE"
"""Environment variable with the file that a Site is read from."""


@dataclass(frozen=True)
class Site:
    """One deployment. Paths are absolute; a name in `instructors` and the like is a Hub user's."""

    students_environment: str
    """The environment that user servers and kernels run, readable by everybody."""
    staff_environment: str
    """The staff environment of `checkout`."""
    checkout: str
    """The course's own checkout, which only `course_account` can read."""
    instance: str
    exchange: str
    """Where labs are published; everybody can read it."""
    handin: str
    """Where the hand-in service keeps what it takes, closed to everybody but `handin_account`."""
    jupyter: str
    """Folder with `user/` and `service/`, the configuration of both kinds of server."""
    course_account: str
    """Unix account of the course service; empty where the Hub cannot change accounts."""
    handin_account: str
    """Unix account of the hand-in service, or empty. It can read neither solutions nor the gradebook."""
    instructors: list[str]
    assistants: list[str]
    students: list[str]
    service_port: int
    handin_port: int

    def write(self, path: Path) -> None:
        """Write it where only its owner can read it."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Site:
        """Read it back."""
        return cls(**json.loads(path.read_text("utf-8")))

    @property
    def handin_url(self) -> str:
        """Where programs of this machine reach the hand-in service, also while the proxy starts again."""
        return f"http://127.0.0.1:{self.handin_port}/services/{HANDIN}"

    @property
    def people(self) -> list[str]:
        """Everybody who can log in."""
        return [*self.instructors, *self.assistants, *self.students]
