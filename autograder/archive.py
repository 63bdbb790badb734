"""A folder in one tar.gz and back: owners and modes are kept, links are stored as links and never followed.

Students write below the exchange while it is read, so every file is opened relative to its open
folder, and what is no file, folder or link is left out. Unpacking goes into a new folder and makes
links last, so that nothing is ever written through one.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.errors import BackupError

DEEPEST = 60
"""Levels of folders that are kept; a hand-in nested deeper is somebody's joke."""


@dataclass
class Packed:
    """What went into an archive, and what was left out and why."""

    entries: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def pack(root: Path, target: Path, excluded: frozenset[str] = frozenset()) -> Packed:
    """Write the folder `root` into the new file `target` (mode 0600), without the relative paths in `excluded`.

    Raises BackupError naming the file that could not be read.
    """
    packed = Packed()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as tar,
    ):
        for folder, folders, files, opened in os.fwalk(root, onerror=_unless_gone, follow_symlinks=False):
            here = PurePosixPath(os.path.relpath(folder, root))
            tar.addfile(_described(here, os.fstat(opened)))
            packed.entries += 1
            if len(here.parts) >= DEEPEST and folders:
                packed.left_out[f"{here}/*"] = f"nested deeper than {DEEPEST} folders"
                folders.clear()
            folders[:] = sorted(name for name in folders if str(here / name) not in excluded)
            for name in sorted([*files, *folders]):
                if str(here / name) not in excluded:
                    _add(tar, here / name, opened, packed)
    return packed


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise BackupError(f"{error.filename} cannot be read: {error.strerror}") from error


def _described(path: PurePosixPath, status: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(path))
    member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    member.uid, member.gid = status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    return member


def _add(tar: tarfile.TarFile, path: PurePosixPath, folder: int, packed: Packed) -> None:
    """One entry of an open folder; its folders come with the walk."""
    try:
        status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            member = _described(path, status)
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path.name, dir_fd=folder)
            tar.addfile(member)
            packed.entries += 1
        elif stat.S_ISREG(status.st_mode):
            # another file may be there by now: it is neither followed nor waited for
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(path.name, flags, dir_fd=folder), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(0, "it changed while it was read")
                member = _described(path, status)
                member.size = status.st_size
                tar.addfile(member, file)
                packed.entries += 1
        elif not stat.S_ISDIR(status.st_mode):
            packed.left_out[str(path)] = "not a file, folder or link"
    except FileNotFoundError:
        return  # it was removed after it was listed
    except OSError as error:
        raise BackupError(f"{path} could not be stored: {error.strerror or error}") from error


def unpack(archive: Path, root: Path) -> int:
    """Unpack into the new folder `root`; owners are set as root only. Returns the number of entries.

    Raises BackupError for an archive that would write outside `root`.
    """
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    links: list[tuple[Path, tarfile.TarInfo]] = []
    entries = 0
    root.mkdir(mode=0o700)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            path = _inside(root, member.name, archive)
            entries += 1
            if member.isdir():
                if path != root:
                    path.mkdir(mode=0o700)
                folders.append((path, member))
            elif member.issym():
                links.append((path, member))
            elif member.isreg():
                _write(tar, member, path)
            else:
                raise BackupError(f"{archive}: {member.name} is no file, folder or link")
    for path, member in links:
        if path.parent.resolve() != root.resolve() / path.parent.relative_to(root):
            raise BackupError(f"{archive}: {member.name} would be written through a link")
        path.symlink_to(member.linkname)
        if os.geteuid() == 0:
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
    for path, member in reversed(folders):  # last, because a folder may be closed to its own owner
        _set_owner_and_mode(path, member, 0o7777)
    return entries


def _inside(root: Path, name: str, archive: Path) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BackupError(f"{archive}: {name} lies outside the folder")
    return root / path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None, "a regular file has content"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        shutil.copyfileobj(source, file)
    _set_owner_and_mode(path, member, 0o777)


def _set_owner_and_mode(path: Path, member: tarfile.TarInfo, allowed: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, member.uid, member.gid)
    path.chmod(member.mode & allowed)
    os.utime(path, (member.mtime, member.mtime))


def read_text(archive: Path, name: str) -> str:
    """The text of one small file of an archive; empty when it is not in there."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if PurePosixPath(member.name) == PurePosixPath(name) and member.isreg():
                file = tar.extractfile(member)
                return file.read(1 << 20).decode("utf-8") if file else ""
    return ""
