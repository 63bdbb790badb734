"""The labs that were released: the folder that `course release` publishes in, read and never written."""

from __future__ import annotations

import io
import os
import time
from contextlib import suppress
from pathlib import Path

from handin.package import check_name, write_package

TRIES = 3
PAUSE_SECONDS = 0.05


class Published:
    """Released labs, one folder each. A name with a leading dot is a release under way.

    An erratum takes a lab's place by two renames: LAB to `.LAB.old`, then `.LAB.new` to LAB. In between there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def labs(self) -> dict[str, list[str]]:
        """The files of each lab, by its name. One that an erratum takes the place of is waited for."""
        for left in reversed(range(TRIES)):
            coming = {path.name[1 : -len(".new")] for path in self.folder.glob(".*.new")}
            found = self._list()
            between = [lab for lab in coming - found.keys() if (self.folder / f".{lab}.old").is_dir()]
            if not between or left == 0:  # a command that was killed in between leaves it so
                break
            time.sleep(PAUSE_SECONDS)
        return found

    def has(self, lab: str) -> bool:
        """Whether a lab is released."""
        return lab in self.labs()

    def _list(self) -> dict[str, list[str]]:
        found = {}
        for lab in sorted(self.folder.glob("[!.]*")):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(lab) as entries:
                found[lab.name] = sorted(entry.name for entry in entries if entry.is_file())
        return found

    def package(self, lab: str) -> bytes:
        """A lab's files as one archive. Raises KeyError when there is no such lab."""
        for left in reversed(range(TRIES)):
            try:
                content = self._read(lab)
                break
            except FileNotFoundError:  # an erratum took its place since it was listed
                if left == 0:
                    raise
                time.sleep(PAUSE_SECONDS)
        buffer = io.BytesIO()
        write_package(content, buffer)
        return buffer.getvalue()

    def _read(self, lab: str) -> dict[str, bytes]:
        """Through the open folder, which stays the same one when another takes its name."""
        if lab not in self.labs():
            raise KeyError(lab)
        folder = os.open(self.folder / lab, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            here = Path(f"/proc/self/fd/{folder}")
            return {check_name(path.name): path.read_bytes() for path in here.iterdir() if path.is_file()}
        finally:
            os.close(folder)
