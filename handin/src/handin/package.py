"""A hand-in as one file: a zip archive of plain files, read with nothing believed and written in one way only.

What arrives is never kept as it is: links, folders, encrypted or doubled entries are refused, sizes are counted
while they are unpacked rather than read from the archive, and what is stored is written anew. So equal files make
equal digests, whoever packed them.
"""

from __future__ import annotations

import hashlib
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from handin.errors import NotAPackage

MOST_FILES = 50
"""Files of one hand-in; a lab has four notebooks."""
NOTEBOOK_BYTES, FILE_BYTES = 20 << 20, 5 << 20
"""One notebook, and one of any other kind: no more than the course's intake takes."""
PACKAGE_BYTES = 100 << 20
"""All files together, and the archive."""
NAME_CHARACTERS = 100
DIRECTORY_BYTES = 1 << 16
"""The list of names at an archive's end, which is read whole."""
CHUNK = 1 << 16
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What reading an archive raises that is none, or a damaged one."""
_DATE = (1980, 1, 1, 0, 0, 0)
_RESERVED = frozenset({"timestamp.txt", "submission_secret.txt", "attempt.json"})
"""Names that collecting writes itself beside the files of a hand-in."""


def check_name(name: str) -> str:
    """The name of a file of a hand-in, as it is. Raises NotAPackage.

    A plain name in Unicode's composed form: no folder, no control character, no leading dot.
    """
    problem = None
    if not name or len(name) > NAME_CHARACTERS or len(name.encode("utf-8", "surrogatepass")) > 255:
        problem = f"a name has between 1 and {NAME_CHARACTERS} characters"
    elif "/" in name or "\\" in name:
        problem = "folders are not handed in, only the files of the lab itself"
    elif name.startswith(".") or name != name.strip():
        problem = "a name does not begin with a dot and has no blank at either end"
    elif any(unicodedata.category(character)[0] == "C" for character in name):
        problem = "a name has no control characters"
    elif unicodedata.normalize("NFC", name) != name:
        problem = "a name is written in Unicode's composed form (NFC)"
    elif name in _RESERVED:
        problem = "the course itself writes a file of that name"
    if problem:
        raise NotAPackage(f"{printable(name)}: {problem}. Rename it or leave it out")
    return name


def printable(name: str) -> str:
    """A name as a message may show it."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:NAME_CHARACTERS])
    return shown or "(a file without a name)"


def digest(files: Iterable[tuple[str, str]]) -> str:
    """The content hash of a hand-in, from pairs of a name and the SHA-256 of its content: hexadecimal SHA-256.

    It does not depend on the archive, so a student can compute it from the files alone.
    """
    total = hashlib.sha256()
    for name, content in sorted(files):
        total.update(f"{content}  {name}\n".encode())
    return total.hexdigest()


def digest_of_folder(folder: Path, names: Iterable[str]) -> str:
    """The content hash of files that lie in a folder."""
    return digest((name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in names)


def write_package(files: Mapping[str, bytes], target: IO[bytes]) -> str:
    """Write files as an archive; return the content hash. Raises NotAPackage when they are no hand-in."""
    if not files:
        raise NotAPackage("there is no file to hand in. Fetch the lab first, then hand in its notebooks")
    _check_count(len(files))
    total = 0
    for name, content in files.items():
        check_name(name)
        total += len(content)
        check_size(name, len(content), total)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name])
    return digest((name, hashlib.sha256(content).hexdigest()) for name, content in files.items())


def rewrite_package(source: IO[bytes], target: IO[bytes]) -> tuple[str, dict[str, int]]:
    """Read an archive that somebody sent and write it anew; return the content hash and each file's size.

    Raises NotAPackage naming what is wrong. No more is unpacked than the limits allow.
    """
    hashes: dict[str, str] = {}
    sizes: dict[str, int] = {}
    try:
        _check_directory(source)
        with zipfile.ZipFile(source) as given, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
            for info in _entries(given):
                hashed = hashlib.sha256()
                size = 0
                # files are copied as they come, so no archive can claim more memory than one chunk
                with given.open(info) as one, written.open(_entry(info.filename), "w") as copy:
                    while chunk := one.read(CHUNK):
                        size += len(chunk)
                        check_size(info.filename, size, sum(sizes.values()) + size)
                        hashed.update(chunk)
                        copy.write(chunk)
                hashes[info.filename], sizes[info.filename] = hashed.hexdigest(), size
    except BROKEN as error:
        raise NotAPackage(f"this is not a zip archive that can be read ({error}). Hand in again") from error
    return digest(hashes.items()), sizes


def read_package(source: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The files of an archive that `rewrite_package` or `write_package` wrote."""
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            yield check_name(info.filename), archive.read(info)


def _check_directory(source: IO[bytes]) -> None:
    """Refuse an archive whose list of names is long, before it is read: each name costs memory.

    zipfile's own reader of an archive's end, so that both mean the same place.
    """
    end = zipfile._EndRecData(source)  # type: ignore[attr-defined]
    if end and (end[zipfile._ECD_ENTRIES_TOTAL] > MOST_FILES or end[zipfile._ECD_SIZE] > DIRECTORY_BYTES):  # type: ignore[attr-defined]
        _check_count(max(MOST_FILES + 1, end[zipfile._ECD_ENTRIES_TOTAL]))  # type: ignore[attr-defined]


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    found = archive.infolist()
    if not found:
        raise NotAPackage("the archive is empty. Fetch the lab first, then hand in its notebooks")
    _check_count(len(found))
    names: set[str] = set()
    for info in found:
        check_name(info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise NotAPackage(f"{printable(info.filename)}: links and devices are not handed in, only files")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # the others unpack a few bytes into gigabytes in one step
            raise NotAPackage(
                f"{printable(info.filename)}: packed in a way that is not taken; use an ordinary zip"
            )
        if info.flag_bits & 0x1:
            raise NotAPackage(f"{printable(info.filename)}: it is encrypted. Hand in without a password")
        if info.filename.casefold() in names:
            raise NotAPackage(f"{printable(info.filename)}: the archive holds this name twice")
        names.add(info.filename.casefold())
    return found


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _check_count(count: int) -> None:
    if count > MOST_FILES:
        raise NotAPackage(
            f"{count} files are over the limit of {MOST_FILES}. Hand in the lab's own files only"
        )


def check_size(name: str, size: int, total: int) -> None:
    """Raise NotAPackage when a file, or all together, are over the limit; sizes in bytes."""
    notebook = name.endswith(".ipynb")
    most = NOTEBOOK_BYTES if notebook else FILE_BYTES
    if size > most:
        what = "one notebook. Clear the outputs of large cells" if notebook else "one file. Leave it out"
        raise NotAPackage(f"{printable(name)}: over the limit of {most >> 20} MiB for {what}")
    if total > PACKAGE_BYTES:
        raise NotAPackage(
            f"{printable(name)}: with it the hand-in is over the limit of {PACKAGE_BYTES >> 20} MiB. "
            "Leave large files out"
        )
