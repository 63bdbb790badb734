"""List, fetch, hand in and fetch feedback: what the Assignment List in JupyterLab and nbgrader's commands do."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import ExchangeFetchAssignment, ExchangeFetchFeedback, ExchangeList, ExchangeSubmit

from handin.deadlines import shown_time
from handin.errors import HandInError, NotAPackage
from handin.exchange.base import RECEIPTS, ServiceExchange, attempt_folder
from handin.package import check_name, check_size, printable

NOT_KEPT = {"feedback", "__pycache__", "README.md", "ERRATA.md"}
"""What is the course's own, or was made here."""
CHECKPOINTS = ".ipynb_checkpoints"
"""JupyterLab's own folder, of which nobody thinks that it is handed in."""


class List(ServiceExchange, ExchangeList):  # type: ignore[misc]
    """The labs that are out or fetched, or what was handed in.

    When the service does not answer, what lies in the home is listed all the same, so that the page opens.
    """

    def copy_files(self) -> None:
        """There is nothing to copy."""

    def list_files(self) -> list[dict[str, Any]]:
        """Entries as nbgrader's own exchange makes them."""
        try:
            known = self.client().overview()
        except HandInError as error:
            self.log.error("%s", error)
            known = {"labs": [], "attempts": []}
        found = list(self._handed_in(known) if self.cached or self.inbound else self._released(known))
        for entry in found:
            self.log.info("%s %s (%s)", entry["course_id"], entry["assignment_id"], entry["status"])
        return found

    def remove_files(self) -> list[dict[str, Any]]:
        """What was handed in stays."""
        self.fail("A hand-in cannot be taken back. Hand in again: the newest attempt counts")
        return []

    def _released(self, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
        out = {lab["lab"]: lab["files"] for lab in known["labs"]}
        if not out:  # an outage, or the first day
            out = {path.parent.name: [] for path in Path(self.assignment_dir).glob("Lab-*/*.ipynb")}
        for lab, files in out.items():
            if self.lab not in ("", lab):
                continue
            folder = self.folder(lab).absolute()
            fetched = _has_notebooks(folder)
            names = [path.name for path in sorted(folder.glob("*.ipynb"))] if fetched else files
            yield {
                "course_id": self.coursedir.course_id,
                "assignment_id": lab,
                "status": "fetched" if fetched else "released",
                "path": str(folder),
                "notebooks": [
                    {"notebook_id": Path(name).stem, "path": str(folder / name)}
                    for name in names
                    if name.endswith(".ipynb")
                ],
            }

    def _handed_in(self, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
        by_lab: dict[str, list[dict[str, Any]]] = {}
        for attempt in known["attempts"]:
            if self.lab in ("", attempt["lab"]):
                by_lab.setdefault(attempt["lab"], []).append(attempt)
        for lab, attempts in by_lab.items():
            yield {
                "course_id": self.coursedir.course_id,
                "student_id": known["student"],
                "assignment_id": lab,
                "status": "submitted",
                "submissions": [self._attempt(lab, attempt) for attempt in attempts],
            }

    def _attempt(self, lab: str, attempt: dict[str, Any]) -> dict[str, Any]:
        place = attempt_folder(self.folder(lab).absolute(), attempt)
        notebooks = []
        for name in sorted(attempt["files"]):
            if not name.endswith(".ipynb"):
                continue
            notebook = Path(name).stem
            page = place / f"{notebook}.html"
            told = attempt["feedback"].get(notebook)
            here = hashlib.sha256(page.read_bytes()).hexdigest() if page.is_file() else None
            notebooks.append(
                {
                    "notebook_id": notebook,
                    "path": str(self.folder(lab).absolute() / name),
                    "has_local_feedback": here is not None,
                    "has_exchange_feedback": told is not None,
                    "local_feedback_path": str(page) if here else None,
                    "feedback_updated": here is not None and told is not None and here != told,
                }
            )
        all_here = bool(notebooks) and all(one["has_local_feedback"] for one in notebooks)
        return {
            "course_id": self.coursedir.course_id,
            "student_id": attempt["student"],
            "assignment_id": lab,
            "status": "submitted",
            "timestamp": shown_time(attempt["received"]),
            "path": str(self.folder(lab).absolute()),
            "notebooks": notebooks,
            "has_local_feedback": all_here,
            "has_exchange_feedback": bool(notebooks)
            and all(one["has_exchange_feedback"] for one in notebooks),
            "feedback_updated": any(one["feedback_updated"] for one in notebooks),
            "local_feedback_path": str(place) if all_here else None,
        }


class FetchAssignment(ServiceExchange, ExchangeFetchAssignment):  # type: ignore[misc]
    """Put a lab into the home. What is there is never replaced."""

    def copy_files(self) -> None:
        """Fetch, and write what is missing. A folder without a notebook, as of feedback alone, is no copy."""
        folder = self.folder(self.lab)
        if _has_notebooks(folder) and not self.replace_missing_files:
            self.fail(f"You already have a copy of the assignment in this directory: {folder}")
        try:
            files = self.client().fetch(self.lab)
        except HandInError as error:
            self.fail(str(error))
        if folder.is_dir():
            _write(folder, {name: content for name, content in files.items() if not (folder / name).exists()})
        else:  # whole or not at all
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.assignment_dir) as unfinished:
                _write(Path(unfinished) / folder.name, files)
                (Path(unfinished) / folder.name).rename(folder)
        self.log.info("Fetched as: %s %s", self.coursedir.course_id, self.lab)


class Submit(ServiceExchange, ExchangeSubmit):  # type: ignore[misc]
    """Hand in the files of a lab's folder and keep the receipt."""

    def copy_files(self) -> None:
        """Hand in. Fails with the service's own words, and then nothing was handed in."""
        folder = self.folder(Path(self.lab).name)
        if not folder.is_dir():
            self.fail(f"There is no folder {folder}: fetch the lab first")
        try:
            files = dict(self._files(folder))
            attempt = self.client().hand_in(folder.name, files)
        except (HandInError, OSError) as error:
            self.fail(f"{error}. Nothing was handed in" if isinstance(error, OSError) else str(error))
        receipts = Path(self.assignment_dir) / RECEIPTS
        name = f"{folder.name}-attempt-{attempt['number']}.json"
        try:
            receipts.mkdir(exist_ok=True)
            (receipts / name).write_text(json.dumps(attempt, indent=1), "utf-8")
        except OSError as error:  # it is handed in all the same, and the service's page has the receipt
            self.log.warning("the receipt could not be kept in %s: %s", receipts, error)
        late = ", after the deadline" if attempt["late"] else ""
        self.log.info(
            "Submitted as: %s %s, attempt %s, received %s%s, receipt %s",
            self.coursedir.course_id, folder.name, attempt["number"], shown_time(attempt["received"]), late,
            attempt["sha256"],
        )  # fmt: skip

    def _files(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        """The plain files that can be handed in; what is left behind is said. Raises NotAPackage, OSError."""
        total = 0
        hidden = [path.name for path in sorted(folder.glob(".*")) if path.name != CHECKPOINTS]
        if hidden:
            more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
            names = ", ".join(printable(name) for name in hidden[:3])
            self.log.warning("hidden files stay behind: %s%s", names, more)
        for path in sorted(folder.iterdir()):
            if path.name in NOT_KEPT or path.name.startswith("."):
                continue
            if path.is_symlink() or not path.is_file():
                self.log.warning("%s stays behind: only plain files are handed in", path.name)
                continue
            try:
                check_name(path.name)
            except NotAPackage as reason:
                self.log.warning("%s stays behind: %s", path.name, reason)
                continue
            total += path.stat().st_size
            check_size(path.name, path.stat().st_size, total)  # before it is read
            yield path.name, path.read_bytes()


def _has_notebooks(folder: Path) -> bool:
    """Whether a lab was fetched: the folder alone may hold nothing but feedback."""
    return any(folder.glob("*.ipynb"))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


class FetchFeedback(ServiceExchange, ExchangeFetchFeedback):  # type: ignore[misc]
    """Put every page about a lab's attempts into its folder."""

    def copy_files(self) -> None:
        """Fetch what is new."""
        try:
            client = self.client()
            for attempt in client.overview()["attempts"]:
                if attempt["lab"] != self.lab:
                    continue
                for notebook in attempt["feedback"]:
                    place = attempt_folder(self.folder(self.lab), attempt)
                    place.mkdir(parents=True, exist_ok=True)
                    (place / f"{check_name(notebook)}.html").write_bytes(
                        client.feedback(attempt["id"], notebook)
                    )
                    self.log.info("Fetched feedback: %s", place / f"{notebook}.html")
        except HandInError as error:
            self.fail(str(error))
