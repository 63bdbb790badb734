"""Bring a backup back: verify it, look that nothing is in the way, write, compare with the manifest."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from autograder.archive import unpack
from autograder.backup import EXCHANGE_ARCHIVE, HANDIN_ARCHIVE, INSTANCE_ARCHIVE, PARTIAL, handin_database
from autograder.course import COURSE_ID, Instance
from autograder.database import parse, shown, sqlite_file
from autograder.dump import Dump, count_rows, kind_of, load
from autograder.errors import BackupError
from autograder.gradebook import count_submissions
from autograder.manifest import Manifest, read

Say = Callable[[str], None]


class Restore:
    """One restore. Nothing is written before `check` has passed.

    `settings` replaces settings of instance.toml (`gradebook`, `exchange`). With `replace`, folders and
    SQLite files that are in the way are renamed, and tables of a PostgreSQL database are replaced.
    """

    def __init__(
        self,
        backup: Path,
        root: Path,
        settings: dict[str, str],
        hub_url: str = "",
        handin: Path | None = None,
        *,
        replace: bool = False,
    ) -> None:
        self.backup, self.root, self.replace = backup, root, replace
        self.manifest: Manifest = read(backup)
        if "exchange" in settings and EXCHANGE_ARCHIVE not in self.manifest.files:
            raise BackupError(f"{backup} holds the exchange inside the instance; leave --exchange out")
        self.changes = self._moved() | settings
        self.settings = self.manifest.settings | self.changes
        self.aside = datetime.now(UTC).strftime(".before-restore-%Y-%m-%dT%H%M%SZ")
        self.databases: list[tuple[str, URL, Dump]] = [
            ("gradebook", self._gradebook(), self.manifest.gradebook)
        ]
        if hub_url:
            if self.manifest.hub is None:
                raise BackupError(f"{backup} holds no database of the Hub; leave --hub-database out")
            self.databases.append(("Hub's database", parse(hub_url, "--hub-database"), self.manifest.hub))
        self.folders = {INSTANCE_ARCHIVE: root}
        if EXCHANGE_ARCHIVE in self.manifest.files:
            self.folders[EXCHANGE_ARCHIVE] = Path(self.settings["exchange"])
        if handin is not None:
            if self.manifest.handin is None:
                raise BackupError(f"{backup} holds no hand-ins of the service; leave --handin out")
            self.folders[HANDIN_ARCHIVE] = handin
            self.databases.append(("hand-ins' database", handin_database(handin), self.manifest.handin))

    def _moved(self) -> dict[str, str]:
        """Settings that name a place in the backed-up instance, as they are in the new one."""
        old, new = f"{self.manifest.instance}/", f"{self.root}/"
        return {
            name: value.replace(old, new, 1) for name, value in self.manifest.settings.items() if old in value
        }

    def _gradebook(self) -> URL:
        name = self.settings.get("gradebook", "")
        if not name:
            return make_url(f"sqlite:///{Instance(self.root).gradebook}")
        url = parse(name, "the gradebook's URL")
        file = sqlite_file(url)
        return make_url(f"sqlite:///{self.root / file}") if file else url

    def check(self) -> None:
        """Raise BackupError when something is in the way, the course is another, or a database is of another kind."""
        if self.manifest.course != COURSE_ID:
            raise BackupError(
                f"{self.backup} is a backup of the course {self.manifest.course}, not of {COURSE_ID}"
            )
        for what, url, about in self.databases:
            if kind_of(url) != about.kind:
                raise BackupError(
                    f"the {what} was stored from {about.kind} and cannot be restored to {shown(url)}: "
                    f"name a {about.kind} database"
                )
        in_the_way = [str(folder) for folder in self.folders.values() if _holds_something(folder)]
        in_the_way += [f"the database {shown(url)}" for _, url, _ in self.databases if self._is_taken(url)]
        if in_the_way and not self.replace:
            raise BackupError(
                f"{' and '.join(in_the_way)} would be written over. Restore to another place, or add --replace: "
                "folders and SQLite files are then renamed, tables in PostgreSQL are replaced. Nothing was restored"
            )

    def _is_taken(self, url: URL) -> bool:
        file = sqlite_file(url)
        if file is None:
            return bool(count_rows(url))
        return self._folder_of(url) is None and file.exists() and file.stat().st_size > 0

    def run(self, say: Say = lambda text: None) -> None:
        """Write everything, then compare with the manifest. Raises BackupError saying what is wrong."""
        self.check()
        unpacked = [folder.with_name(folder.name + PARTIAL) for folder in self.folders.values()]
        try:
            self._unpack(say)
            _change_settings(Instance(unpacked[0]).settings_file, self.changes)
            for what, url, about in self.databases:
                if self._folder_of(url) is None:
                    say(f"the {what}: {shown(url)}")
                    load(url, self.backup / about.file, about, self.aside)
            for partial, place in zip(unpacked, self.folders.values(), strict=True):
                self._move_into_place(partial, place)
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            raise BackupError(f"the backup could not be written: {error}") from error
        finally:
            for partial in unpacked:
                shutil.rmtree(partial, ignore_errors=True)  # only a failure has left one
        self._compare()

    def _folder_of(self, url: URL) -> Path | None:
        """The folder that a database is a file of and moves into place with."""
        file = sqlite_file(url)
        return next(
            (folder for folder in self.folders.values() if file and file.is_relative_to(folder)), None
        )

    def _unpack(self, say: Say) -> None:
        for name, folder in self.folders.items():
            say(f"{folder}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = folder.with_name(folder.name + PARTIAL)
            if partial.exists():
                shutil.rmtree(partial)  # a killed restore left it
            entries = unpack(self.backup / name, partial)
            if entries != self.manifest.entries[name]:
                raise BackupError(
                    f"{name} holds {entries} entries, {self.manifest.entries[name]} were stored"
                )
        for what, url, about in self.databases:
            file, home = sqlite_file(url), self._folder_of(url)
            if file is not None and home is not None:
                say(f"the {what}: {shown(url)}")
                partial = home.with_name(home.name + PARTIAL)
                inside = make_url(f"sqlite:///{partial / file.relative_to(home)}")
                load(inside, self.backup / about.file, about, self.aside)

    def _move_into_place(self, partial: Path, folder: Path) -> None:
        if folder.exists():
            if _holds_something(folder):
                folder.rename(folder.with_name(folder.name + self.aside))
            else:
                folder.rmdir()
        partial.rename(folder)

    def _compare(self) -> None:
        wrong = []
        for what, url, about in self.databases:
            rows = count_rows(url)
            wrong += [
                f"{what}, table {table}: {rows.get(table)} rows, {stored} were stored"
                for table, stored in about.tables.items()
                if rows.get(table) != stored
            ]
        for lab, stored in self.manifest.submissions.items():
            found = count_submissions(Instance(self.root), lab)
            if found != stored:
                wrong.append(f"{lab}: {found} hand-ins in the gradebook, {stored} were stored")
        if wrong:
            raise BackupError("restored, but not what was stored: " + "; ".join(wrong))


def _holds_something(folder: Path) -> bool:
    return folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir())))


def _change_settings(file: Path, changes: dict[str, str]) -> None:
    """Replace settings of instance.toml, each on a line of its own before the first table."""
    if not changes:
        return
    text = file.read_text("utf-8") if file.is_file() else ""
    for name in changes:
        text = re.sub(rf"^{name}\s*=.*\n?", "", text, flags=re.MULTILINE)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in changes.items())
    file.write_text(lines + text, "utf-8")
