"""Find the folder from which a lab is fetched."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class UpdateError(Exception):
    """The lab cannot be updated; nothing was changed. The text says what to do."""


def release_folder(lab: str, given: Path | None) -> Path:
    """The folder with the newest release of a lab, in the given folder or in the course's exchange.

    The exchange is the folder named by COURSE_EXCHANGE, else the one of nbgrader's configuration.
    Raises UpdateError saying where was looked.
    """
    if given is not None:
        roots, found = [given], [given / lab, *given.glob(f"*/outbound/{lab}"), given]
    else:
        roots = [Path(os.environ["COURSE_EXCHANGE"])] if os.environ.get("COURSE_EXCHANGE") else _exchange()
        found = [root / lab for root in roots]
        found += [path for root in roots for path in sorted(root.glob(f"*/outbound/{lab}"))]
    for folder in found:
        if folder.is_dir() and any(folder.glob("*.ipynb")):
            return folder
    looked = ", ".join(str(root) for root in roots) or "no exchange (COURSE_EXCHANGE is not set)"
    raise UpdateError(f"no release of {lab} was found in {looked}: name its folder with --from")


def _exchange() -> list[Path]:
    """The folder of released labs by nbgrader's own configuration; empty without nbgrader."""
    with contextlib.suppress(ImportError):
        from nbgrader.apps import NbGrader
        from nbgrader.exchange.default import Exchange

        app = NbGrader()
        app.load_config_file()
        root = Path(Exchange(config=app.config).root)
        course = app.config.CourseDirectory.get("course_id", "")
        return [root / course / "outbound" if course else root]
    return []
