"""Collect hand-ins from the exchange without trusting what lies there.

A hand-in lies in a folder that its student made and can still change. nbgrader's own collecting
follows links, which would let a student hand in a file that only the course's account can read,
believes the time that the student wrote down, and only warns when the folder is somebody else's.
"""

from __future__ import annotations

import itertools
import os
import pwd
import re
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect

from autograder.course import Instance
from autograder.errors import IntakeError
from autograder.grade.intake import NOTEBOOK_BYTES, TIMESTAMP, read_regular
from autograder.gradebook import one_writer
from autograder.nbgrader_api import call_nbgrader
from autograder.text import well_formed_name

MOST_FILES = 200
"""Files of one hand-in that are looked at; intake keeps fewer still."""
HAND_IN_BYTES = 100 << 20
"""All files of one hand-in together."""
TIME_IN_NAME = "%Y-%m-%d %H:%M:%S.%f UTC"
STUDENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
"""What a student's name may look like: it becomes the name of a folder."""
SLOWEST_SUBMIT = timedelta(minutes=2)
"""How much later than the time in its name a folder may have been changed before that time is not believed."""

CLOCK_STEP = timedelta(seconds=1)
"""How much earlier it may have been: a file's times come from a coarser clock."""


class NotCollectable(Exception):
    """Why a folder of the exchange is not taken."""


class Collect(ExchangeCollect):  # type: ignore[misc]
    """nbgrader's collecting: a hand-in counts only for the account that owns its folder, and no link is followed.

    With `check_owner` off, where everybody shares one account, owners are not compared.
    """

    src_records: list[dict[str, Any]]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """nbgrader's record of one folder; what is no hand-in gets the user name "", which `copy_files` drops."""
        name = Path(path).name
        try:
            student, when = self._claimed(name)
            with suppress(OSError):  # gone since it was listed; copying says so
                self._check(Path(path).lstat(), student)
        except NotCollectable as reason:
            self._leave_out(name, str(reason))
            student, when = "", datetime.min
        return {"username": student, "filename": name, "timestamp": when}

    def _leave_out(self, name: str, reason: str) -> None:
        self.log.warning("%s is left out: %s", well_formed_name(name), reason)

    def _claimed(self, name: str) -> tuple[str, datetime]:
        parts = name.rsplit("+", 3)
        if len(parts) < 3 or STUDENT.fullmatch(parts[0]) is None:
            raise NotCollectable("its name is not that of a hand-in")
        try:
            # as nbgrader writes it, and nothing else that some parser may take for a time
            when = datetime.strptime(parts[2], TIME_IN_NAME)
        except ValueError as error:
            raise NotCollectable("its name holds no time") from error
        if not 2000 <= when.year < 3000:
            raise NotCollectable("its name holds no time of this century")
        return parts[0], when

    def _check(self, status: os.stat_result, student: str) -> None:
        if not stat.S_ISDIR(status.st_mode):
            raise NotCollectable("not a folder")
        if not self.check_owner:
            return
        try:
            owner = pwd.getpwuid(status.st_uid).pw_name
        except KeyError:
            owner = f"account {status.st_uid}"
        if owner != student:
            raise NotCollectable(f"it names {student} but belongs to {owner}")

    def copy_files(self) -> None:
        """Collect what was found."""
        self.src_records = [record for record in self.src_records if record["username"]]
        super().copy_files()

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy the regular files of one hand-in; links and folders are left behind.

        The folder is held open, so that it cannot be replaced by a link after it was checked.
        """
        student, claimed = self._claimed(Path(src).name)
        try:
            descriptor = os.open(src, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                self._check(os.fstat(descriptor), student)
                changed = self._copy_folder(descriptor, Path(dest))
            finally:
                os.close(descriptor)
        except (OSError, NotCollectable) as reason:  # one student's folder must not keep the others waiting
            self._leave_out(Path(src).name, str(reason))
            return
        if not claimed - CLOCK_STEP <= changed <= claimed + SLOWEST_SUBMIT:
            self.log.warning("%s claims %s and counts as of %s", well_formed_name(src), claimed, changed)
            claimed = changed
        (Path(dest) / TIMESTAMP).write_text(claimed.strftime(TIME_IN_NAME), "utf-8")

    def _copy_folder(self, descriptor: int, destination: Path) -> datetime:
        """Copy the files of an open folder; return when the last of what was copied was changed.

        No account but root can set that time, so a hand-in cannot be dated back. It is read after the
        content: what is changed later was not copied.
        """
        source = Path(f"/proc/self/fd/{descriptor}")
        owner = os.fstat(descriptor).st_uid
        destination.mkdir(parents=True)
        changed, total = 0.0, 0
        for entry in itertools.islice(source.iterdir(), MOST_FILES):
            content, problem = read_regular(entry, NOTEBOOK_BYTES)
            status = entry.lstat()
            total += len(content)
            if problem is None and self.check_owner and status.st_uid != owner:
                problem = "it belongs to another account than its folder"
            if problem is None and total > HAND_IN_BYTES:
                problem = f"the hand-in is over {HAND_IN_BYTES >> 20} MiB"
            if problem is not None:
                self._leave_out(entry.name, problem)
                continue
            (destination / entry.name).write_bytes(content)
            changed = max(changed, status.st_ctime)
        changed = max(changed, os.fstat(descriptor).st_ctime)
        return datetime.fromtimestamp(changed, UTC).replace(tzinfo=None)


def collect_lab(instance: Instance, lab_id: str) -> list[str]:
    """Collect the newest hand-in of each student; return the students who have one. Raises IntakeError."""
    with one_writer(instance):
        failure = call_nbgrader(instance, "collect", lab_id)
    if failure:
        raise IntakeError(f"{lab_id} could not be collected: {failure[-800:]}")
    return sorted(path.parent.name for path in instance.submitted.glob(f"*/{lab_id}"))
