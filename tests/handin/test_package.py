"""Archives: what is refused, what is kept, and that the digest depends on the files alone."""

from __future__ import annotations

import hashlib
import io
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from handin.errors import NotAPackage
from handin.package import (
    FILE_BYTES,
    MOST_FILES,
    NOTEBOOK_BYTES,
    check_name,
    digest_of_folder,
    read_package,
    rewrite_package,
    write_package,
)
from hypothesis import given
from hypothesis import strategies as st

from autograder.grade import intake

NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\."), min_size=1, max_size=20
)


def usable(name: str) -> bool:
    """Whether a name is one of a hand-in."""
    try:
        check_name(name)
    except NotAPackage:
        return False
    return True


FILES = st.dictionaries(NAMES.filter(usable), st.binary(max_size=2000), min_size=1, max_size=5).filter(
    lambda files: len({name.casefold() for name in files}) == len(files)
)


def rewritten(archive: bytes) -> tuple[str, dict[str, bytes]]:
    """The digest and the files that are left of an archive."""
    target = io.BytesIO()
    sha256, sizes = rewrite_package(io.BytesIO(archive), target)
    files = dict(read_package(target))
    assert sizes == {name: len(content) for name, content in files.items()}
    return sha256, files


def packed(*entries: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive as anybody may make one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return buffer.getvalue()


@given(FILES)
def test_files_come_back_and_the_digest_does_not_know_the_archive(files: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    sha256 = write_package(files, buffer)
    assert rewritten(buffer.getvalue()) == (sha256, files)
    other = packed(*reversed(list(files.items())))
    assert rewritten(other) == (sha256, files)


@given(FILES, st.data())
def test_another_byte_or_another_name_is_another_digest(files: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    changed = {**files, name: files[name] + b"x"}
    renamed = {(f"{one}-" if one == name else one): content for one, content in files.items()}
    digests = {write_package(one, io.BytesIO()) for one in (files, changed, renamed)}
    assert len(digests) == 3


def test_the_digest_can_be_computed_by_hand(tmp_path: Path) -> None:
    (tmp_path / "b.ipynb").write_bytes(b"two")
    (tmp_path / "a.ipynb").write_bytes(b"one")
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in [("a.ipynb", b"one"), ("b.ipynb", b"two")]
    )
    assert digest_of_folder(tmp_path, ["b.ipynb", "a.ipynb"]) == hashlib.sha256(lines.encode()).hexdigest()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    with pytest.raises(NotAPackage):
        rewritten(content)


@given(st.data())
def test_a_damaged_archive_is_refused_or_read(data: st.DataObject) -> None:
    archive = bytearray(packed(("a.ipynb", b"x" * 500), ("b.ipynb", b"y" * 50), method=zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        _, files = rewritten(bytes(archive))
    except NotAPackage:
        return
    assert all(usable(name) for name in files)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.ipynb", "folders are not handed in"),
        ("/etc/passwd", "folders are not handed in"),
        ("a\\b.ipynb", "folders are not handed in"),
        ("data/x.csv", "folders are not handed in"),
        ("..", "begin with a dot"),
        (".bashrc", "begin with a dot"),
        (" a.ipynb", "blank at either end"),
        ("a\n.ipynb", "no control characters"),
        ("a\u202e.ipynb", "no control characters"),
        ("e\u0301.ipynb", "composed form"),
        ("timestamp.txt", "the course itself writes"),
        ("x" * 101, "between 1 and 100"),
    ],
)
def test_a_name_that_is_refused_is_told_why(name: str, why: str) -> None:
    with pytest.raises(NotAPackage, match=why):
        rewritten(packed((name, b"x")))
    with pytest.raises(NotAPackage, match=why):
        write_package({name: b"x"}, io.BytesIO())


def test_links_devices_and_folders_are_refused() -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFDIR, stat.S_IFIFO):
        info = zipfile.ZipInfo("a.ipynb")
        info.external_attr = (kind | 0o777) << 16
        with pytest.raises(NotAPackage, match="links and devices"):
            rewritten(packed((info, b"/etc/shadow")))


def test_a_name_may_be_there_once_also_in_other_letters() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed(("a.ipynb", b"1"), ("a.ipynb", b"2"))
    for archive in (twice, packed(("a.ipynb", b"1"), ("A.IPYNB", b"2"))):
        with pytest.raises(NotAPackage, match="twice"):
            rewritten(archive)


def test_too_many_files() -> None:
    with pytest.raises(NotAPackage, match=f"over the limit of {MOST_FILES}"):
        rewritten(packed(*[(f"{n}.txt", b"") for n in range(MOST_FILES + 1)]))


def test_a_bomb_ends_at_the_limit() -> None:
    """Its sizes are counted as they come; what the archive says of them is not asked."""
    bomb = packed(("a.ipynb", b"\0" * (NOTEBOOK_BYTES + 1)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 16
    target = io.BytesIO()
    with pytest.raises(NotAPackage, match="20 MiB for one notebook"):
        rewrite_package(io.BytesIO(bomb), target)


def test_all_files_together_have_a_limit() -> None:
    content = b"\0" * (NOTEBOOK_BYTES - 1)
    with pytest.raises(NotAPackage, match="hand-in is over the limit of 100 MiB"):
        rewritten(packed(*[(f"{n}.ipynb", content) for n in range(6)], method=zipfile.ZIP_DEFLATED))


def test_limits_are_no_laxer_than_those_of_intake() -> None:
    """What gets a receipt is graded."""
    assert (NOTEBOOK_BYTES, FILE_BYTES) == (intake.NOTEBOOK_BYTES, intake.FILE_BYTES)
    with pytest.raises(NotAPackage, match="5 MiB for one file"):
        rewritten(packed(("submission.safetensors", b"\0" * (FILE_BYTES + 1)), method=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused_before_anything_is_unpacked(method: int) -> None:
    bomb = packed(("a.ipynb", b"\0" * (64 << 20)), method=method)
    tracemalloc.start()
    try:
        with pytest.raises(NotAPackage, match="use an ordinary zip"):
            rewritten(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_long_list_of_names_is_refused_before_it_is_read() -> None:
    archive = packed(*[(f"{n}.txt", b"") for n in range(20_000)])
    tracemalloc.start()
    try:
        with pytest.raises(NotAPackage, match="20000 files are over the limit"):
            rewritten(archive)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_an_encrypted_file_is_refused() -> None:
    archive = bytearray(packed(("a.ipynb", b"x")))
    central = archive.index(b"PK\x01\x02")
    archive[central + 8] |= 1
    with pytest.raises(NotAPackage, match="encrypted"):
        rewritten(bytes(archive))


def test_nothing_and_an_empty_archive() -> None:
    with pytest.raises(NotAPackage, match="no file to hand in"):
        write_package({}, io.BytesIO())
    with pytest.raises(NotAPackage, match="empty"):
        rewritten(packed())


def test_a_wrong_checksum_is_refused() -> None:
    archive = bytearray(packed(("a.ipynb", b"some content")))
    archive[archive.index(b"some")] ^= 1
    with pytest.raises(NotAPackage, match="not a zip archive"):
        rewritten(bytes(archive))
