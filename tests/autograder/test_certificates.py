"""`course certificates`: three private files, never overwritten, and commands that name them."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import Security

from autograder.cli import course
from autograder.commands.certificates import BIN, commands, write_certificates
from autograder.errors import ConfigurationError


def test_three_files_that_only_their_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write_certificates(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_dask_accepts_them_for_every_party(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    parties = {f"tls_{party}_cert": cert for party in ("client", "scheduler", "worker")}
    parties |= {f"tls_{party}_key": key for party in ("client", "scheduler", "worker")}
    made = Security(require_encryption=True, tls_ca_file=ca, **parties)
    for party in ("client", "worker"):
        assert made.get_connection_args(party)["ssl_context"] is not None
    assert made.get_listen_args("scheduler")["ssl_context"] is not None


def test_each_call_makes_another_key(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_certificates(tmp_path / name)
    assert (tmp_path / "first" / "key.pem").read_text() != (tmp_path / "second" / "key.pem").read_text()


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_folder_that_has_one_of_them_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match=f"has {name} already"):
        write_certificates(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_place_that_cannot_be_written_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_certificates(tmp_path / "file" / "below")


def test_the_commands_name_the_files_and_programs_that_exist(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    done = CliRunner().invoke(course, ["certificates", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    scheduler, worker, grade = (shlex.split(line) for line in commands(folder))
    for command in (scheduler, worker):
        assert command[0] == str(BIN / "dask") and Path(command[0]).is_file()
        options = dict(itertools.pairwise(command))
        assert options["--tls-ca-file"] == str(folder / "ca.pem")
        assert options["--tls-cert"] == str(folder / "cert.pem")
        assert options["--tls-key"] == str(folder / "key.pem")
    assert worker[worker.index("--nthreads") + 1] == "1"
    settings = dict(word.split("=", 1) for word in grade[:3])
    assert {Path(value).name for value in settings.values()} == {"ca.pem", "cert.pem", "key.pem"}
    assert Path(grade[3]).is_file() and grade[4:] == ["grade", "LAB", "--scheduler", "tls://SCHEDULER:8786"]
