"""Starting and stopping: nothing left behind, one clear line for what is in the way."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from autograder.course import ROOT
from hub_config import proxy
from hub_config.course_copy import copy_checkout, give_to
from hub_config.errors import HubError
from hub_config.limited_spawner import GROUP
from hub_config.local.accounts import make_accounts, mark_of
from hub_config.ports import free_ports
from hub_config.running import RunningHub, state_folder
from tests.hub.conftest import needs_root
from tests.hub.requests_as import Session, run_in_kernel

pytestmark = pytest.mark.timeout(600)

PREFIX = f"life{os.getpid() % 1000}-"
"""Not the same for two runs at once: accounts belong to the whole machine."""


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """One state folder for the starts of this file: the course is copied and built once."""
    with state_folder() as folder:
        yield folder


def accounts_of(prefix: str) -> list[str]:
    """Accounts of this machine whose name begins so."""
    return [entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(prefix)]


def processes_below(text: str) -> list[str]:
    """Command lines of processes that name a path."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if text in line and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def runs_in(process: psutil.Process, state: Path) -> bool:
    """Whether a process is one of this state folder's Hub."""
    try:
        return process.cwd().startswith(str(state))
    except psutil.Error:
        return False


def hub_in(state: Path) -> RunningHub:
    """A Hub of this file; `with` waits until it is ready."""
    return RunningHub(state, prefix=PREFIX)


@needs_root
def test_ctrl_c_ends_everything_within_ten_seconds(state: Path) -> None:
    """Also what a student's kernel detached, the cgroup of the server, and the accounts."""
    code = "import subprocess; subprocess.Popen(['setsid', 'sleep', '4711'], start_new_session=True); print('detached')"
    with hub_in(state) as hub:
        number = pwd.getpwnam(f"{PREFIX}student1").pw_uid
        assert run_in_kernel(Session(hub, "student1"), "student1", code) == "detached\n"
        assert any(process.uids().real == number for process in psutil.process_iter())
        seconds = hub.stop()
    assert seconds < 10 and hub.process.returncode == 0, hub.output
    assert processes_below(str(state)) == [] and processes_below("sleep 4711") == []
    assert accounts_of(PREFIX) == []
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{GROUP}/{PREFIX}*"))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", hub.port))


@needs_root
def test_a_second_start_keeps_homes_and_numbers(state: Path) -> None:
    home = state / "homes" / f"{PREFIX}student1"
    before = home.stat().st_uid
    (home / "work.txt").write_text("a week of it")
    with hub_in(state) as hub:
        assert pwd.getpwnam(f"{PREFIX}student1").pw_uid == before == home.stat().st_uid
        assert (
            run_in_kernel(Session(hub, "student1"), "student1", "print(open('work.txt').read())")
            == "a week of it\n"
        )


@needs_root
def test_the_homes_of_others_and_the_hubs_secrets_cannot_be_read(hub: RunningHub) -> None:
    places = [
        hub.home("student2"),
        hub.state / "course",
        hub.state / "hub",
        ROOT,
        Path("/root"),
        Path("/etc/shadow"),
    ]
    code = (
        "import os, stat\n"
        f"for place in {[str(place) for place in places]}:\n"
        "    try:\n        os.listdir(place) if os.path.isdir(place) else open(place).read()\n"
        "        print('can read', place)\n    except PermissionError:\n        pass\n"
        "open('new', 'w').close(); print(oct(stat.S_IMODE(os.stat('new').st_mode)))"
    )
    assert run_in_kernel(Session(hub, "student1"), "student1", code) == "0o600\n"
    (hub.home("student1") / "new").unlink()


@needs_root
def test_a_server_does_not_hold_the_hubs_log(hub: RunningHub) -> None:
    """The log names where each hand-in lies; what a server holds open it can read again by /proc."""
    code = "import os; print([os.readlink(f'/proc/{os.getppid()}/fd/{n}') for n in (1, 2)])"
    log = str(hub.home("student1") / ".jupyter-server.log")
    assert run_in_kernel(Session(hub, "student1"), "student1", code) == f"{[log, log]}\n"
    assert (hub.state / "hub" / "log").stat().st_mode & 0o077 == 0


@needs_root
def test_a_process_that_forks_faster_than_it_is_listed_is_ended(state: Path) -> None:
    bomb = "import os, time\nwhile True:\n    if os.fork(): os._exit(0)\n    time.sleep(0.005)"
    code = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {bomb!r}], start_new_session=True)"
    )
    with hub_in(state) as hub:
        number = pwd.getpwnam(f"{PREFIX}student1").pw_uid
        run_in_kernel(Session(hub, "student1"), "student1", code)
        hub.stop()
    # numbers may be gone from the table of accounts, so processes are asked
    alive = [process for process in psutil.process_iter() if process.uids().real == number]
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@needs_root
def test_a_server_cannot_have_more_memory_than_its_limit(hub: RunningHub) -> None:
    if "control group" not in hub.output:
        code = "x = bytearray(7 << 30)"  # more than one process may address
        assert run_in_kernel(Session(hub, "student1"), "student1", code) == "MemoryError"
        return
    run_in_kernel(Session(hub, "student1"), "student1", "print(1)")
    group = next(Path("/sys/fs/cgroup").glob(f"**/{GROUP}/{hub.prefix}student1"))
    limit = next(group / name for name in ("memory.max", "memory.limit_in_bytes") if (group / name).exists())
    assert int(limit.read_text()) == 4 << 30
    assert len((group / "cgroup.procs").read_text().split()) >= 2  # server and kernel


@needs_root
def test_a_taken_port_is_one_line(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        hub = RunningHub(state, prefix=PREFIX, port=taken.getsockname()[1])
        hub.process.wait(60)
    assert hub.process.returncode == 1
    (line,) = hub.output.strip().splitlines()
    assert line.startswith(f"error: port {hub.port} is taken by another program: choose one with make hub")
    assert accounts_of(PREFIX) == []


@needs_root
def test_a_second_hub_of_the_same_checkout_is_one_line(hub: RunningHub) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "hub_config.local", "--state", str(hub.state), "--port", str(free_ports(1)[0])],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert second.returncode == 1
    assert second.stdout.strip() == (
        "error: a Hub of this checkout is already running: stop it with Ctrl-C first"
    )
    assert requests.get(f"{hub.url}/hub/health").status_code == 200


@needs_root
def test_a_run_that_was_killed_is_cleared_by_the_next(state: Path) -> None:
    with hub_in(state) as hub:
        run_in_kernel(Session(hub, "student1"), "student1", "print(1)")
        # nobody is left to stop the others
        launcher = psutil.Process(hub.process.pid)
        hub_process = next(
            child for child in launcher.children() if "jupyterhub" in " ".join(child.cmdline())
        )
        launcher.suspend()
        hub_process.kill()
        launcher.kill()
        hub.process.wait()
    assert processes_below(str(state)) != [] and accounts_of(PREFIX) != []
    with hub_in(state) as again:
        assert "an earlier run was not stopped properly: " in again.output
    assert processes_below(str(state)) == [] and accounts_of(PREFIX) == []


@needs_root
def test_killing_only_the_launcher_ends_the_hub(state: Path) -> None:
    with hub_in(state) as hub:
        hub.process.kill()
        hub.process.wait()
    left = [process for process in psutil.process_iter() if runs_in(process, state)]
    _, alive = psutil.wait_procs(left, timeout=20)
    assert alive == []
    with hub_in(state):
        pass


@needs_root
def test_somebodys_own_account_is_never_touched(tmp_path: Path) -> None:
    before = pwd.getpwnam("daemon")
    with pytest.raises(HubError, match=r"the account daemon .* is in the way of daemon"):
        make_accounts({"daemon": tmp_path / "home"}, tmp_path)
    assert pwd.getpwnam("daemon") == before and before.pw_gecos != mark_of(tmp_path)


def test_without_node_it_comes_from_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "find_node", lambda: None)
    command = proxy.proxy_command(tmp_path)
    assert command[0].startswith(str(tmp_path))
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "5.3.0"
    stamp = (tmp_path / "node_modules").stat().st_mtime_ns
    assert proxy.proxy_command(tmp_path) == command
    assert (tmp_path / "node_modules").stat().st_mtime_ns == stamp  # installed once


def test_a_proxy_that_cannot_be_installed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "find_node", lambda: None)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(HubError) as refused:
        proxy.proxy_command(tmp_path)
    text = str(refused.value)
    assert "\n" not in text and "Node.js 20 or newer is not on this machine" in text
    assert "Check the network and start again" in text


@pytest.mark.nightly
@needs_root
def test_an_ordinary_account_gets_a_hub_for_trying_out() -> None:
    """Without root: one account for everybody, a generated password, and a page that says so."""
    with state_folder() as folder:
        checkout = folder.parent / "checkout"
        copy_checkout(ROOT, checkout)
        home = folder.parent / "home"
        home.mkdir()
        (checkout / "hub.out").touch()
        for place in (checkout, home):
            give_to("daemon", place)
        port = free_ports(1)[0]
        python = str(checkout / ".venv-staff" / "bin" / "python")
        change = ["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups"]
        log = (folder.parent / "out").open("w+")
        process = subprocess.Popen(
            [*change, python, "-m", "hub_config.local", "--port", str(port)],
            cwd=checkout, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(home), "COLUMNS": "160"},
        )  # fmt: skip
        hub = RunningHub.__new__(RunningHub)
        hub.process, hub.port, hub.prefix, hub.log = process, port, "", folder.parent / "out"
        try:
            hub.wait_ready()
            assert "For trying out only: without root, everybody shares this account" in hub.output
            assert len(set(hub.passwords.values())) == 1
            page = requests.get(f"{hub.url}/hub/login").text
            assert "every user of this Hub shares one account" in page
            text = run_in_kernel(
                Session(hub, "student1"), "student1", "import os; print(os.getcwd(), os.getuid())"
            )
            assert (
                text
                == f"{checkout / 'build' / 'hub' / 'homes' / 'student1'} {pwd.getpwnam('daemon').pw_uid}\n"
            )
            assert (
                Session(hub, "ta1").send("GET", "/formgrader/api/assignments").json()[0]["status"]
                == "released"
            )
        finally:
            seconds = hub.stop(signal.SIGTERM)
            log.close()
        assert seconds < 10 and processes_below(str(checkout)) == []
        shutil.rmtree(checkout)
