"""Put a release where students fetch it, through nbgrader's own exchange, so that nobody sees half of it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from labkit.update import ERRATA
from nbgrader.exchange.default import ExchangeReleaseAssignment
from traitlets import Unicode
from traitlets.config import Config

from autograder.build.changes import Content, content_of
from autograder.course import Instance, outbound
from autograder.errors import CourseError
from autograder.nbgrader_api import call_nbgrader


class WholeRelease(ExchangeReleaseAssignment):  # type: ignore[misc]
    """nbgrader's release, with its folders and permissions, but copied beside its place and renamed into it.

    nbgrader's own way to release again removes what is published and copies file by file.
    """

    content = Unicode("", help="The content that was planned, as JSON.").tag(config=True)
    errata = Unicode("", help="Text of ERRATA.md; without text there is no such file.").tag(config=True)

    def ensure_directory(self, path: str, mode: int) -> None:
        """nbgrader's, but for a folder that is there already, which need not belong to who releases."""
        if not Path(path).is_dir():
            super().ensure_directory(path, mode)

    def copy_files(self) -> None:
        """Copy, check the copy, add the errata, and let it take the place of what is published."""
        destination = Path(self.dest_path)
        staged = _beside(destination, "new")
        self.do_copy(self.src_path, str(staged))
        if content_of(staged) != json.loads(self.content):
            self.fail(f"{self.src_path} changed while it was copied; run the command again")
        if self.errata:
            (staged / ERRATA).write_text(self.errata, "utf-8")
        self.set_perms(str(staged), fileperms=0o644, dirperms=0o755)
        _take_the_place(staged, destination)


def destination(instance: Instance, lab_id: str) -> Path:
    """The folder from which students fetch a lab."""
    return outbound(instance.exchange) / lab_id


def published(instance: Instance, lab_id: str) -> Path | None:
    """The folder that holds what students last saw, or None; also while a release is interrupted."""
    place = destination(instance, lab_id)
    return next((folder for folder in (place, _beside(place, "old")) if folder.is_dir()), None)


def publish_folder(instance: Instance, lab_id: str, content: Content, errata: str) -> None:
    """Publish `instance.release/<lab>`, which has this content, in place of what is published.

    Raises CourseError with nbgrader's reason.
    """
    config = Config(
        {
            "ExchangeFactory": {"release_assignment": WholeRelease},
            "WholeRelease": {"errata": errata, "content": json.dumps(content)},
        }
    )
    failure = call_nbgrader(instance, "release_assignment", lab_id, config=config)
    if failure:
        reasons = re.findall(r"^[\w.]*(?:Error|Exception): (.*)$", failure, re.MULTILINE)
        raise CourseError(
            f"{lab_id} could not be published in {destination(instance, lab_id)}: {(reasons or [failure])[-1]}. "
            "Nobody sees half of it; put that right and run the same command again"
        )


@contextlib.contextmanager
def withdrawn(instance: Instance, labs: Iterable[str]) -> Iterator[None]:
    """Take labs from where students fetch them, and bring them back when the block fails.

    What a killed process left out of sight, `put_right` brings back. Call it with the lock of
    `released.releasing` held.
    """
    places = [destination(instance, lab) for lab in labs]
    try:
        for place in places:
            if place.is_dir():
                shutil.rmtree(_beside(place, "withdrawn"), ignore_errors=True)
                place.rename(_beside(place, "withdrawn"))
        yield
    except BaseException:
        for place in places:
            if _beside(place, "withdrawn").is_dir() and not place.exists():
                _beside(place, "withdrawn").rename(place)
        raise


def remove_withdrawn(instance: Instance, labs: Iterable[str]) -> None:
    """Remove withdrawn labs for good, with what their last erratum left beside them."""
    for lab in labs:
        for what in ("withdrawn", "old", "new"):
            shutil.rmtree(_beside(destination(instance, lab), what), ignore_errors=True)


def put_right(instance: Instance) -> None:
    """Undo what a killed command left: the earlier folder comes back, an unfinished copy goes."""
    for what in ("withdrawn", "old"):
        for kept in outbound(instance.exchange).glob(f".*.{what}"):
            place = kept.with_name(kept.name[1 : -len(f".{what}")])
            if place.exists():
                shutil.rmtree(kept)
            else:
                kept.rename(place)
    for unfinished in outbound(instance.exchange).glob(".*.new"):
        shutil.rmtree(unfinished)


def _beside(place: Path, what: str) -> Path:
    # nbgrader lists `outbound/*`, which leaves out names with a leading dot
    return place.with_name(f".{place.name}.{what}")


def _take_the_place(staged: Path, place: Path) -> None:
    """Two renames: whoever looks finds the old folder, for an instant none, then the new one."""
    old = _beside(place, "old")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    try:
        staged.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    # the old folder stays until the next release: somebody may be reading it just now
