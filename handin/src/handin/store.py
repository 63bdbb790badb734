"""What was handed in: attempts that never change, deadlines, extensions and feedback.

An attempt exists once its row is committed. Its file is on disk before that, so whatever is killed in between
leaves at most a file that no row names; such files are removed when the store is opened.
"""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, aliased

from handin.database import READS, open_database
from handin.deadlines import Deadline, Standing, deadline_of
from handin.errors import HandInError, Refused
from handin.files import ContentFiles
from handin.package import rewrite_package
from handin.tables import Attempt, Extension, Feedback, Lab, Request, Score

MOST_ATTEMPTS = 200
"""Attempts of one student for one lab."""
LAB_BYTES = 2 << 30
"""All files of one student's attempts for one lab, each content counted once as it is kept once."""
FREE_BYTES = 1 << 30
"""Space that is left free on the disk: the service stops taking hand-ins before the database cannot be written."""
Clock = Callable[[], datetime]


def now() -> datetime:
    """The server's clock, which alone counts."""
    return datetime.now(UTC)


class Store:
    """The hand-ins below one folder, with the database at `url`.

    Its methods may be called from several threads. Raises HandInError when another process has the folder open.
    """

    def __init__(self, root: Path, url: str = "", clock: Clock = now, free_bytes: int = FREE_BYTES) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root, self.clock, self.free_bytes = root, clock, free_bytes
        self._lock = (root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise HandInError(
                f"{root} is open in another process: only one hand-in service runs on it"
            ) from error
        self._naming = threading.Lock()
        self.engine = open_database(url or f"sqlite:///{root / 'handin.db'}")
        self.reading = self.engine.execution_options(**{READS: True})
        self.packages = ContentFiles(root / "packages", ".zip")
        self.pages = ContentFiles(root / "feedback", ".html")
        self._remove_unnamed()

    def close(self) -> None:
        """Let go of the database and the folder."""
        self.engine.dispose()
        self._lock.close()

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """A transaction that sees what is there before it writes, with no other such one beside it.

        One process has the folder, so a lock of the process is enough, also where the database has none of its own.
        """
        with self._naming, Session(self.engine) as session, session.begin():
            yield session

    def set_deadline(
        self, lab: str, due: datetime, closes: datetime | None, extensions: dict[str, datetime]
    ) -> None:
        """Replace a lab's deadline and all its extensions."""
        with self.alone() as session:
            session.execute(delete(Extension).where(Extension.lab == lab))
            session.merge(Lab(id=lab, due=due, closes=closes))
            session.add_all(
                Extension(lab=lab, student=name, until=until) for name, until in extensions.items()
            )

    def deadlines(self, student: str) -> dict[str, Deadline]:
        """The student's own deadline of each lab that has one."""
        with Session(self.reading) as session:
            extended = {
                row.lab: row.until
                for row in session.scalars(select(Extension).where(Extension.student == student))
            }
            labs = session.scalars(select(Lab)).all()
            return {lab.id: deadline_of(lab.due, lab.closes, extended.get(lab.id)) for lab in labs}

    def late(self, attempts: Sequence[Attempt]) -> set[int]:
        """Ids of those that came after the deadline that their student has now: an extension may have come later."""
        names = {attempt.lab for attempt in attempts}
        with Session(self.reading) as session:
            labs = {lab.id: lab for lab in session.scalars(select(Lab).where(Lab.id.in_(names)))}
            given = session.scalars(select(Extension).where(Extension.lab.in_(names)))
            extended = {(row.lab, row.student): row.until for row in given}
        late = set()
        for one in attempts:
            if (lab := labs.get(one.lab)) is not None:
                deadline = deadline_of(lab.due, lab.closes, extended.get((one.lab, one.student)))
                if one.received > deadline.due:
                    late.add(one.id)
        return late

    def require_space(self) -> None:
        """Raise Refused before anything is written when the disk is nearly full."""
        if shutil.disk_usage(self.root).free < self.free_bytes:
            raise Refused(507, "the hand-in service has no space left on its disk. Tell an instructor now")

    def hand_in(self, lab: str, student: str, package: IO[bytes], received: datetime) -> Attempt:
        """Keep what arrived at `received` as the student's next attempt.

        Raises NotAPackage when it is no hand-in, and Refused after the lab has closed or when the
        student has too many attempts.
        """
        deadline = self.deadlines(student).get(lab)
        if deadline is not None and deadline.standing(received) is Standing.CLOSED:
            raise Refused(
                403,
                f"{lab} closed at {deadline.closes:%Y-%m-%d %H:%M} UTC and takes no more hand-ins. "
                "Ask an instructor for an extension if you were ill",
            )
        due = deadline.due if deadline else None
        with self.packages.unfinished() as file:
            sha256, files = rewrite_package(package, file)
            with self._naming:
                number = self._next_number(lab, student, sha256, files)
                self.packages.keep(file, sha256)
                return self._add(lab, student, number, received, sha256, files, due)

    def _next_number(self, lab: str, student: str, sha256: str, files: dict[str, int]) -> int:
        """The number of a student's next attempt. Raises Refused when they have no room for it."""
        with Session(self.reading) as session:
            mine = (Attempt.lab == lab) & (Attempt.student == student)
            last = session.scalar(select(func.max(Attempt.number)).where(mine)) or 0
            kept = dict(session.execute(select(Attempt.sha256, Attempt.files).where(mine)).all())
        if last >= MOST_ATTEMPTS:
            raise Refused(
                429,
                f"{last} attempts for {lab} are the most there can be, so this one was not taken. "
                f"Attempt {last} counts",
            )
        if sum(sum(sizes.values()) for sizes in {**kept, sha256: files}.values()) > LAB_BYTES:
            raise Refused(
                429,
                f"with this attempt yours for {lab} would be over {LAB_BYTES >> 20} MiB together, so it was not "
                f"taken. {f'Attempt {last} counts' if last else 'You have handed in nothing for it yet'}. "
                "Tell an instructor if you need more",
            )
        return int(last) + 1

    def _add(
        self,
        lab: str,
        student: str,
        number: int,
        received: datetime,
        sha256: str,
        files: dict[str, int],
        due: datetime | None,
    ) -> Attempt:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            attempt = Attempt(
                lab=lab,
                student=student,
                number=number,
                received=received,
                sha256=sha256,
                files=files,
                due=due,
            )
            session.add(attempt)
        return attempt

    def attempts(self, *, student: str | None = None, lab: str | None = None) -> list[Attempt]:
        """Attempts by their time, of one student or of one lab or of both."""
        query = select(Attempt).order_by(Attempt.id)
        if student is not None:
            query = query.where(Attempt.student == student)
        if lab is not None:
            query = query.where(Attempt.lab == lab)
        with Session(self.reading) as session:
            return list(session.scalars(query))

    def newest(self, lab: str) -> list[Attempt]:
        """The last attempt of each student."""
        one = aliased(Attempt)
        last = select(func.max(Attempt.number)).where(Attempt.lab == lab, Attempt.student == one.student)
        query = select(one).where(one.lab == lab, one.number == last.scalar_subquery())
        with Session(self.reading) as session:
            return list(session.scalars(query.order_by(one.student)))

    def attempt(self, number: int) -> Attempt | None:
        """One attempt by its id."""
        with Session(self.reading) as session:
            found: Attempt | None = session.get(Attempt, number)
            return found

    def put_feedback(self, attempt: int, notebook: str, page: bytes) -> None:
        """Give back the page about one notebook of an attempt; an earlier one is replaced."""
        with self.alone() as session:
            sha256 = self.pages.keep_bytes(page)
            session.merge(Feedback(attempt=attempt, notebook=notebook, sha256=sha256, written=self.clock()))

    def feedback(self, attempts: Sequence[int]) -> dict[int, dict[str, str]]:
        """For each of these attempts that has any: the hash of each notebook's page."""
        found: dict[int, dict[str, str]] = {}
        with Session(self.reading) as session:
            for row in session.scalars(select(Feedback).where(Feedback.attempt.in_(attempts))):
                found.setdefault(row.attempt, {})[row.notebook] = row.sha256
        return found

    def forget(self, student: str, up_to: int | None = None) -> int:
        """Delete everything of one student; return how many attempts there were. Files that others share stay.

        With `up_to`, attempts with a greater id stay.
        """
        with self._naming:
            with Session(self.engine) as session, session.begin():
                query = select(Attempt.id).where(Attempt.student == student)
                if up_to is not None:
                    query = query.where(Attempt.id <= up_to)
                mine = session.scalars(query).all()
                for table in (Feedback, Score, Request):
                    session.execute(delete(table).where(table.attempt.in_(mine)))
                session.execute(delete(Attempt).where(Attempt.id.in_(mine)))
                session.execute(delete(Extension).where(Extension.student == student))
            self._remove_unnamed()
        return len(mine)

    def _remove_unnamed(self) -> None:
        with Session(self.reading) as session:
            named = {*session.scalars(select(Attempt.sha256)), *session.scalars(select(Feedback.sha256))}
        for files in (self.packages, self.pages):
            for path in files:
                if path.stem not in named:
                    path.unlink()
