"""`course backup` and `course restore`, with a real PostgreSQL and with SQLite."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from handin.package import read_package, write_package
from handin.store import Store
from sqlalchemy.engine import make_url

from autograder.archive import pack, unpack
from autograder.backup import EXCHANGE_ARCHIVE, INSTANCE_ARCHIVE, back_up, remove_leftovers
from autograder.build.builder import build_lab
from autograder.course import ROOT, Instance
from autograder.dump import count_rows
from autograder.errors import BackupError, ConfigurationError, CourseError
from autograder.grade.course_grade import grade_lab
from autograder.gradebook import one_writer
from autograder.quality.handins import replace_solution
from autograder.quality.plain import automatic_scores
from autograder.restore import Restore
from tests.conftest import MiniLab
from tests.postgresql import Server

FAST = {"cell_seconds": 20, "check_seconds": 4, "disk": 32}
KINDS = ("sqlite", "postgresql")


@dataclass
class Graded:
    """A graded instance, its exchange outside of it, and the Hub's database."""

    mini: MiniLab
    instance: Instance
    hub_url: str

    def scores(self) -> object:
        """Every automatic score."""
        return automatic_scores(self.instance, self.mini.lab.id)


def fill_hub(url: str, server: Server | None) -> None:
    """A small table as the Hub might have one."""
    statements = (
        "CREATE TABLE users (id INTEGER, name TEXT); INSERT INTO users VALUES (1, 'ada'), (2, 'bob');"
    )
    if server is None:
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as opened:
            opened.executescript(statements)
    else:
        server.sql(statements, str(make_url(url).database))


@pytest.fixture(scope="module", params=KINDS)
def template(
    request: pytest.FixtureRequest, mini: MiniLab, tmp_path_factory: pytest.TempPathFactory
) -> Instance:
    """Two graded hand-ins in either kind of database; do not change it."""
    instance = Instance(tmp_path_factory.mktemp(request.param) / "instance")
    instance.root.mkdir()
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
        instance.settings_file.write_text(f'gradebook = "{url}"\n', "utf-8")
    build_lab(mini.lab, mini.course, instance)
    wrong = replace_solution(mini.reference(), "largest", "def largest(x): return 2.0\nRunningSum = None\n")
    for name, notebook in {"ada": mini.reference(), "bob": wrong}.items():
        folder = instance.submitted / name / mini.lab.id
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "01-Scale.ipynb")
    (instance.submitted / "bob" / mini.lab.id / "gradebook.db").symlink_to("/etc/shadow")
    grade_lab(instance, mini.lab.id, limits=FAST)
    return instance


@pytest.fixture
def graded(request: pytest.FixtureRequest, mini: MiniLab, template: Instance, tmp_path: Path) -> Graded:
    """A copy of it that a test may lose, with an exchange outside of it and a database of the Hub."""
    instance = Instance(tmp_path / "instance")
    shutil.copytree(template.root, instance.root, symlinks=True)
    settings = f'exchange = "{tmp_path / "exchange"}"\n'
    server: Server | None = None
    hub_url = f"sqlite:///{tmp_path / 'jupyterhub.sqlite'}"
    if template.settings_file.is_file():
        server = request.getfixturevalue("postgresql")
        hub_url, name = server.new_database(), next(server.names)
        server.sql(f"CREATE DATABASE {name} TEMPLATE {make_url(template.gradebook_url).database}")
        settings += f'gradebook = "{server.url(name)}"\n'
    instance.settings_file.write_text(settings, "utf-8")
    fill_hub(hub_url, server)
    inbound = tmp_path / "exchange" / "inbound"
    inbound.mkdir(parents=True)
    (inbound / "hand-in.ipynb").write_text("{}")
    inbound.chmod(0o2733)
    return Graded(mini, instance, hub_url)


def lose_everything(graded: Graded, request: pytest.FixtureRequest) -> None:
    """What the worst day does."""
    url = make_url(graded.instance.gradebook_url)
    if url.get_backend_name() == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        for name in (url.database, make_url(graded.hub_url).database):
            server.sql(f"DROP DATABASE {name}")
            server.sql(f"CREATE DATABASE {name}")
    else:
        Path(graded.hub_url.removeprefix("sqlite:///")).unlink()
    shutil.rmtree(graded.instance.root)
    shutil.rmtree(graded.instance.root.with_name("exchange"))


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Type, mode, owner and content or target of everything below a folder, but not of a database."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.name == "writer.lock" or (path.name.startswith("gradebook.db") and not path.is_symlink()):
            continue
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


def test_everything_comes_back(graded: Graded, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Are scores, files, modes, links and the Hub's table the same, and does a regrade change nothing?"""
    if os.geteuid() == 0:
        os.chown(graded.instance.submitted / "ada", 12345, 23456)
    scores, files = graded.scores(), tree(graded.instance.root)
    exchange = tree(tmp_path / "exchange")
    folder = back_up(graded.instance, tmp_path / "backups", graded.hub_url)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    lose_everything(graded, request)
    Restore(folder, graded.instance.root, {}, graded.hub_url).run()
    assert graded.scores() == scores
    assert tree(graded.instance.root) == files
    assert tree(tmp_path / "exchange") == exchange
    assert (tmp_path / "exchange" / "inbound").stat().st_mode & 0o7777 == 0o2733
    link = graded.instance.received / "bob" / graded.mini.lab.id / "gradebook.db"
    assert str(link.readlink()) == "/etc/shadow"
    assert list(count_rows(make_url(graded.hub_url)).values()) == [2]
    again = grade_lab(graded.instance, graded.mini.lab.id, limits=FAST)
    assert [(item.student, item.score, item.failure) for item in again] == [("ada", 90, ""), ("bob", 40, "")]
    assert graded.scores() == scores
    verdicts = {
        path: content for path, (*_, content) in files.items() if path.startswith("verdicts/") and content
    }
    assert verdicts and all(
        _outcomes((graded.instance.root / path).read_bytes()) == _outcomes(content)
        for path, content in verdicts.items()
    )


def _outcomes(verdict: object) -> object:
    """A verdict without the times, which differ from run to run: the measured values come from the hidden seed."""
    assert isinstance(verdict, bytes)
    content = json.loads(verdict)
    return [(cell["grade_id"], cell["outcome"], cell["checks"]) for cell in content["cells"]]


def test_a_backup_goes_elsewhere_while_the_first_goes_on(
    graded: Graded, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Restoring beside the original, as a rehearsal: new folder, new database, new exchange."""
    folder = back_up(graded.instance, tmp_path / "backups")
    settings = {"exchange": str(tmp_path / "second-exchange")}
    if "postgresql" in graded.instance.gradebook_url:
        settings["gradebook"] = request.getfixturevalue("postgresql").new_database()
    second = Instance(tmp_path / "second")
    Restore(folder, second.root, settings).run()
    assert automatic_scores(second, graded.mini.lab.id) == graded.scores()
    assert second.gradebook_url != graded.instance.gradebook_url
    assert second.exchange == tmp_path / "second-exchange" and (second.exchange / "inbound").is_dir()
    assert not list(tmp_path.glob("*.partial"))


def test_nothing_is_written_over_unless_asked(graded: Graded, tmp_path: Path) -> None:
    folder = back_up(graded.instance, tmp_path / "backups", graded.hub_url)
    scores = graded.scores()
    with pytest.raises(
        BackupError, match=r"would be written over.*--replace.*Nothing was restored"
    ) as caught:
        Restore(folder, graded.instance.root, {}, graded.hub_url).run()
    for place in (graded.instance.root, tmp_path / "exchange", "the database"):
        assert str(place) in str(caught.value)
    (graded.instance.root / "new-file").write_text("written after the backup")
    Restore(folder, graded.instance.root, {}, graded.hub_url, replace=True).run()
    assert graded.scores() == scores
    (kept,) = tmp_path.glob("instance.before-restore-*")
    assert (kept / "new-file").exists() and not (graded.instance.root / "new-file").exists()


def test_a_damaged_gradebook_can_be_replaced(fresh_mini: MiniLab, tmp_path: Path) -> None:
    """And a setting that names a place in the instance moves with it."""
    instance = fresh_mini.instance
    instance.settings_file.write_text(f'exchange = "{instance.root}/handed/in"\n')
    (instance.root / "handed" / "in").mkdir(parents=True)
    folder = back_up(instance, tmp_path / "backups")
    rows = count_rows(make_url(instance.gradebook_url))
    instance.gradebook.write_bytes(b"not a database at all, " * 50)
    Restore(folder, instance.root, {}, replace=True).run()
    assert count_rows(make_url(instance.gradebook_url)) == rows
    Restore(folder, tmp_path / "new", {}).run()
    assert Instance(tmp_path / "new").exchange == tmp_path / "new" / "handed" / "in"
    with pytest.raises(BackupError, match="leave --exchange out"):
        Restore(folder, tmp_path / "third", {"exchange": "/srv/exchange"})


def test_a_restore_that_fails_in_the_middle_leaves_no_instance(
    fresh_mini: MiniLab, tmp_path: Path, postgresql: Server
) -> None:
    hub, target = postgresql.new_database(), postgresql.new_database()
    fill_hub(hub, postgresql)
    folder = back_up(fresh_mini.instance, tmp_path / "backups", hub)
    name = make_url(target).database
    postgresql.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(BackupError, match=r"pg_restore failed, the database was not changed: .*read-only"):
        Restore(folder, tmp_path / "new", {}, target).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "instance"]
    assert count_rows(make_url(target)) == {}


def test_the_commands_say_where_and_how_much(fresh_mini: MiniLab, tmp_path: Path) -> None:
    course = [sys.executable, str(ROOT / ".venv-staff" / "bin" / "course")]
    made = subprocess.run(
        [*course, "backup", str(tmp_path / "backups"), "--instance", str(fresh_mini.instance.root)],
        capture_output=True,
        text=True,
    )
    (folder,) = (tmp_path / "backups").iterdir()
    assert made.returncode == 0 and made.stdout.startswith(f"{folder}  ") and "secret.key" in made.stdout
    command = [*course, "restore", str(folder), "--instance", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'new'}  restored as of {folder.name}; hand-ins: Lab-0.1-Mini: 0\n" == done.stdout
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and again.stdout == ""
    assert "would be written over" in again.stderr and "Traceback" not in again.stderr


@pytest.mark.parametrize("name", [INSTANCE_ARCHIVE, EXCHANGE_ARCHIVE, "gradebook", "manifest.json"])
def test_one_changed_byte_is_refused(graded: Graded, tmp_path: Path, name: str) -> None:
    folder = back_up(graded.instance, tmp_path / "backups")
    (file,) = folder.glob(f"{name}*")
    content = bytearray(file.read_bytes())
    place = content.index(b"Lab-0.1") if name == "manifest.json" else len(content) // 2
    content[place] ^= 1
    file.write_bytes(content)
    new = tmp_path / "new" / "instance"
    with pytest.raises(BackupError, match=r"(damaged|was changed).*Nothing was restored"):
        Restore(folder, new, {"exchange": str(tmp_path / "new" / "exchange")}).run()
    assert not new.parent.exists()


def test_a_shortened_or_missing_file_is_refused(graded: Graded, tmp_path: Path) -> None:
    folder = back_up(graded.instance, tmp_path / "backups")
    archive = folder / INSTANCE_ARCHIVE
    os.truncate(archive, archive.stat().st_size - 1)
    with pytest.raises(BackupError, match="bytes instead of"):
        Restore(folder, tmp_path / "new", {})
    archive.unlink()
    with pytest.raises(BackupError, match="is missing"):
        Restore(folder, tmp_path / "new", {})
    with pytest.raises(BackupError, match="no complete backup"):
        Restore(tmp_path, tmp_path / "new", {})


def test_readers_go_on_and_a_grader_is_waited_for(fresh_mini: MiniLab, tmp_path: Path) -> None:
    """SQLite while another connection holds a read transaction; and one writer at a time."""
    with contextlib.closing(sqlite3.connect(fresh_mini.instance.gradebook)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM assignment").fetchall()
        folder = back_up(fresh_mini.instance, tmp_path / "backups")
    Restore(folder, tmp_path / "new", {}).run()
    assert count_rows(make_url(Instance(tmp_path / "new").gradebook_url)) == count_rows(
        make_url(fresh_mini.instance.gradebook_url)
    )
    with one_writer(fresh_mini.instance):
        process = start_backup(fresh_mini.instance, tmp_path / "backups")
        wait_for(lambda: any((tmp_path / "backups").glob("*.partial")), process)
        time.sleep(0.5)
        assert process.poll() is None
    assert process.wait(timeout=60) == 0
    assert len(list((tmp_path / "backups").iterdir())) == 2


def start_backup(instance: Instance, target: Path) -> subprocess.Popen[bytes]:
    """`course backup` in a process of its own."""
    course = [sys.executable, str(ROOT / ".venv-staff" / "bin" / "course"), "backup", str(target)]
    return subprocess.Popen([*course, "--instance", str(instance.root)], stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until the condition holds, a minute at most."""
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, "the backup ended early"
        time.sleep(0.1)
    raise AssertionError("the backup did not begin")


@pytest.fixture
def big_mini(fresh_mini: MiniLab) -> Iterator[MiniLab]:
    """An instance that takes seconds to pack."""
    with (fresh_mini.instance.root / "submitted" / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1 << 20))
    yield fresh_mini
    (fresh_mini.instance.root / "submitted" / "big").unlink()


def test_a_killed_backup_is_never_taken_for_one(big_mini: MiniLab, tmp_path: Path) -> None:
    target, said = tmp_path / "backups", list[str]()
    process = start_backup(big_mini.instance, target)
    try:
        wait_for(
            lambda: any(file.stat().st_size > 1 << 20 for file in target.glob("*.partial/*.gz")), process
        )
        process.send_signal(signal.SIGSTOP)
        (partial,) = target.iterdir()
        remove_leftovers(target, said.append)  # its process lives, so it is left alone
        assert partial.is_dir() and said == [f"another backup is being written to {partial}"]
    finally:
        process.kill()
        process.wait()
    assert partial.name.endswith(".partial") and list(target.iterdir()) == [partial]
    with pytest.raises(BackupError, match="no complete backup"):
        Restore(partial, tmp_path / "new", {})
    (big_mini.instance.root / "submitted" / "big").write_bytes(b"")
    folder = back_up(big_mini.instance, target, say=said.append)
    assert f"removing {partial}, which a killed backup left" in said
    assert list(target.iterdir()) == [folder]


def test_a_failed_backup_leaves_nothing(fresh_mini: MiniLab, tmp_path: Path) -> None:
    fresh_mini.instance.gradebook.write_bytes(fresh_mini.instance.gradebook.read_bytes()[:5000])
    with pytest.raises(CourseError, match=r"cannot be used|damaged|could not be stored"):
        back_up(fresh_mini.instance, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


def test_what_cannot_be_backed_up_is_said(fresh_mini: MiniLab, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="would be in its own backup"):
        back_up(fresh_mini.instance, fresh_mini.instance.root / "backups")
    with pytest.raises(BackupError, match="nothing to back up"):
        back_up(Instance(tmp_path / "nowhere"), tmp_path / "backups")
    with pytest.raises(ConfigurationError, match="holds a password"):
        back_up(fresh_mini.instance, tmp_path / "backups", "postgresql://hub:hunter2@db/hub")


def test_another_kind_of_database_is_refused(fresh_mini: MiniLab, tmp_path: Path) -> None:
    folder = back_up(fresh_mini.instance, tmp_path / "backups")
    with pytest.raises(BackupError, match="stored from sqlite and cannot be restored to postgresql:///other"):
        Restore(folder, tmp_path / "new", {"gradebook": "postgresql+psycopg2:///other"}).run()
    with pytest.raises(BackupError, match="no database of the Hub"):
        Restore(folder, tmp_path / "new", {}, "sqlite:////tmp/hub.sqlite")
    assert not (tmp_path / "new").exists()


def test_links_are_kept_and_never_followed(tmp_path: Path) -> None:
    """A link to a folder, a dangling one, a socket, a pipe, and names that are not UTF-8."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("hunter2")
    (root / "to-folder").symlink_to(tmp_path / "secret")
    (root / "folder" / "dangling").symlink_to("../../nowhere")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"caf\xe9")).write_text("x")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(root / "socket"))
    packed = pack(root, tmp_path / "a.tar.gz")
    assert packed.left_out == dict.fromkeys(("pipe", "socket"), "not a file, folder or link")
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "back") == packed.entries
    assert (tmp_path / "back" / "to-folder").readlink() == tmp_path / "secret"
    assert str((tmp_path / "back" / "folder" / "dangling").readlink()) == "../../nowhere"
    assert (tmp_path / "back" / os.fsdecode(b"caf\xe9")).read_text() == "x"
    assert (
        b"hunter2"
        not in subprocess.run(
            ["gzip", "-dc", str(tmp_path / "a.tar.gz")], capture_output=True, check=True
        ).stdout
    )


def test_a_folder_nested_without_end_is_cut(tmp_path: Path) -> None:
    deep = tmp_path / "root"
    for _ in range(100):
        deep = deep / "d"
    deep.mkdir(parents=True)
    packed = pack(tmp_path / "root", tmp_path / "a.tar.gz")
    assert packed.entries == 61 and list(packed.left_out.values()) == ["nested deeper than 60 folders"]


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "link/out"])
def test_an_archive_cannot_write_outside(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        file = tarfile.TarInfo(name)
        file.size = 1
        tar.addfile(file, io.BytesIO(b"x"))
    with pytest.raises((BackupError, FileNotFoundError)):
        unpack(tmp_path / "a.tar.gz", tmp_path / "back")
    assert not (tmp_path / "out").exists() and not Path("/tmp/out").exists()


def test_hand_ins_of_the_service_come_back(fresh_mini: MiniLab, tmp_path: Path) -> None:
    """A backup taken while the service has its folder open; then the machine is lost."""
    place = tmp_path / "handin"
    store = Store(place)
    files = {"01-Scale.ipynb": b"mine"}
    package = io.BytesIO()
    write_package(files, package)
    kept = store.hand_in("Lab-0.1-Mini", "ada", package, store.clock())
    with store.packages.unfinished() as half:
        half.write(b"half an upload")
        folder = back_up(fresh_mini.instance, tmp_path / "backups", handin=place)
    store.close()
    shutil.rmtree(place)
    Restore(folder, tmp_path / "new", {}, handin=place).run()
    store = Store(place)
    (found,) = store.attempts(student="ada")
    assert (found.sha256, found.received, found.number) == (kept.sha256, kept.received, 1)
    with store.packages.path(found.sha256).open("rb") as file:
        assert dict(read_package(file)) == files
    store.close()
    with pytest.raises(BackupError, match="would be written over"):
        Restore(folder, tmp_path / "third", {}, handin=place).run()
    bare = back_up(fresh_mini.instance, tmp_path / "backups")
    with pytest.raises(BackupError, match="leave --handin out"):
        Restore(bare, tmp_path / "third", {}, handin=tmp_path / "fourth")
