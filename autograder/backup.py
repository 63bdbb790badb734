"""One backup of an instance: its folder, its gradebook, its exchange and the Hub's database, with checksums."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from autograder.archive import pack
from autograder.course import COURSE_ID, Instance
from autograder.database import parse, sqlite_file
from autograder.dump import SIDE_FILES, dump
from autograder.errors import BackupError
from autograder.files import to_disk
from autograder.gradebook import count_submissions, gradebook_exists, one_writer
from autograder.manifest import Manifest, write

PARTIAL = ".partial"
INSTANCE_ARCHIVE = "instance.tar.gz"
EXCHANGE_ARCHIVE = "exchange.tar.gz"
HANDIN_ARCHIVE, HANDIN_DATABASE = "handin.tar.gz", "handin.db"
SETTINGS = ("gradebook", "exchange")
Say = Callable[[str], None]


def back_up(
    instance: Instance,
    target: Path,
    hub_url: str = "",
    handin: Path | None = None,
    say: Say = lambda text: None,
) -> Path:
    """Write a new folder `target/YYYY-MM-DDTHHMMSSZ` and return it; `say` is told of each step.

    `handin` is the folder of the hand-in service. Grading waits until it is done; a hand-in that arrives
    meanwhile may be in it or not. Raises BackupError or GradebookError; a failed backup leaves nothing
    behind, a killed one a folder ending in `.partial`, which the next removes.
    """
    hub = parse(hub_url, "--hub-database") if hub_url else None
    if target.resolve().is_relative_to(instance.root.resolve()):
        raise BackupError(f"{target} lies in the instance itself: it would be in its own backup")
    if not gradebook_exists(instance):
        raise BackupError(f"there is no gradebook in {instance.root}: there is nothing to back up yet")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(target, say)
        say("waiting until no grader is at a hand-in")
        with _complete_or_nothing(target) as folder, one_writer(instance):
            labs = sorted(file.stem for file in instance.bundles.glob("*.json"))
            say("the gradebook")
            manifest = Manifest(
                created=folder.name.removesuffix(PARTIAL),
                course=COURSE_ID,
                instance=str(instance.root),
                settings={name: value for name in SETTINGS if (value := instance.setting(name, ""))},
                labs=labs,
                submissions={lab: count_submissions(instance, lab) for lab in labs},
                versions=_versions(),
                gradebook=dump(make_url(instance.gradebook_url), folder, "gradebook"),
            )
            if hub is not None:
                say("the Hub's database")
                manifest.hub = dump(hub, folder, "hub")
            if handin is not None:
                say("the hand-ins' database")
                # before the files, so that each row's file is there; files are never changed
                manifest.handin = dump(handin_database(handin), folder, "handin")
            _pack_folders(instance, handin, folder, manifest, say)
            write(manifest, folder)
            for file in [*folder.iterdir(), folder]:
                to_disk(file)
    except OSError as error:
        raise BackupError(f"the backup could not be written below {target}: {error}") from error
    return target / manifest.created


def handin_database(folder: Path) -> URL:
    """The database of the hand-in service that keeps its files in a folder."""
    return make_url(f"sqlite:///{folder / HANDIN_DATABASE}")


def _pack_folders(
    instance: Instance, handin: Path | None, folder: Path, manifest: Manifest, say: Say
) -> None:
    say("the instance's folder")
    archives = {INSTANCE_ARCHIVE: (instance.root, _dumped_files(instance))}
    if handin is not None:
        names = {f"{HANDIN_DATABASE}{suffix}" for suffix in ("", *SIDE_FILES)}
        archives[HANDIN_ARCHIVE] = (
            handin,
            frozenset(names | {"lock", "handin.log", "packages/incoming", "feedback/incoming"}),
        )
    exchange = instance.exchange.resolve()
    if exchange.is_dir() and not exchange.is_relative_to(instance.root.resolve()):
        archives[EXCHANGE_ARCHIVE] = (exchange, frozenset())
    for name, (root, excluded) in archives.items():
        packed = pack(root.resolve(), folder / name, excluded)
        manifest.entries[name] = packed.entries
        manifest.left_out |= {f"{name}: {path}": why for path, why in packed.left_out.items()}


def _dumped_files(instance: Instance) -> frozenset[str]:
    """Files of the instance that the archive is not to hold: the database, which has a dump, and the lock."""
    names = {"writer.lock"} | {f"gradebook.db{suffix}" for suffix in ("", *SIDE_FILES)}
    file = sqlite_file(make_url(instance.gradebook_url))
    if file is not None and file.is_relative_to(instance.root):
        names |= {f"{file.relative_to(instance.root)}{suffix}" for suffix in ("", *SIDE_FILES)}
    return frozenset(names)


def _versions() -> dict[str, str]:
    packages = ("nbgrader", "jupyterhub", "sqlalchemy", "labkit")
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }


@contextlib.contextmanager
def _complete_or_nothing(target: Path) -> Iterator[Path]:
    """A new folder that gets its name when the block has ended well, and is removed when it has not."""
    while True:
        name = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
        folder = target / (name + PARTIAL)
        with contextlib.suppress(FileExistsError):
            if not (target / name).exists():
                folder.mkdir(mode=0o700)
                break
        time.sleep(0.2)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(
        held, fcntl.LOCK_EX
    )  # ends with this process, so that a leftover can be told from work in progress
    try:
        yield folder
        folder.rename(target / name)
        to_disk(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(held)


def remove_leftovers(target: Path, say: Say) -> None:
    """Remove what killed backups left in `target`; one still being written is left alone."""
    for folder in sorted(target.glob(f"????-??-??T??????Z{PARTIAL}")):
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another backup is being written to {folder}")
        else:
            say(f"removing {folder}, which a killed backup left")
            shutil.rmtree(folder)
        finally:
            os.close(held)
