"""Files that are whole or not there, named by what they hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast


class ContentFiles:
    """Files below one folder, each under the SHA-256 that stands for its content; none is ever changed.

    An unfinished one lies in `incoming/` and is removed when the folder is opened again.
    """

    def __init__(self, root: Path, suffix: str) -> None:
        self.root, self.suffix = root, suffix
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        for unfinished in self.incoming.iterdir():
            unfinished.unlink()

    def path(self, sha256: str) -> Path:
        """Where the file of a hash is, or would be."""
        return self.root / sha256[:2] / f"{sha256}{self.suffix}"

    def open(self, sha256: str) -> BinaryIO:
        """The file of a hash, to be read. Raises OSError."""
        return self.path(sha256).open("rb")

    @contextmanager
    def unfinished(self) -> Iterator[IO[bytes]]:
        """An open file that is gone at the end unless `keep` gave it a name."""
        with tempfile.NamedTemporaryFile("w+b", dir=self.incoming, delete=False) as file:
            try:
                yield cast(IO[bytes], file)
            finally:
                Path(file.name).unlink(missing_ok=True)

    def keep(self, file: IO[bytes], sha256: str) -> Path:
        """Give an unfinished file its name, once all of it is on disk. A file that is there stays as it is."""
        file.flush()
        os.fsync(file.fileno())
        target = self.path(sha256)
        if not target.parent.is_dir():
            target.parent.mkdir(exist_ok=True, mode=0o700)
            _sync(self.root)
        if not target.exists():
            Path(file.name).rename(target)
            _sync(target.parent)
        return target

    def keep_bytes(self, content: bytes) -> str:
        """Keep some bytes; return their hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self.unfinished() as file:
            file.write(content)
            self.keep(file, sha256)
        return sha256

    def __iter__(self) -> Iterator[Path]:
        """Every file that has a name."""
        return self.root.glob(f"??/*{self.suffix}")


def _sync(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
