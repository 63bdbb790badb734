"""`make hub`: serve the course on this machine until Ctrl-C."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import psutil
from rich.console import Console

from autograder.course import load_course
from autograder.errors import CourseError
from hub_config.errors import HubError
from hub_config.exchange import prepare_exchange
from hub_config.limited_spawner import remove_memory_groups
from hub_config.local import accounts, processes
from hub_config.local.prepare import (
    ROOT,
    prepare_course,
    prepare_folders,
    publish,
)
from hub_config.local.ready import wait_until_ready
from hub_config.local.settings import Settings
from hub_config.local.welcome import print_welcome
from hub_config.ports import free_ports, require_free
from hub_config.proxy import proxy_command
from hub_config.site import SITE_VARIABLE, Site

SHARED = Path(os.environ.get("COURSE_OPT", "/opt/model-compression-course"))
NOBODY = 65534
HUB_FILES = ("hub/jupyterhub.sqlite", "hub/cookie_secret", "hub/log")
"""What the Hub itself remembers between runs."""
console = Console(highlight=False, soft_wrap=True)


class Stopped(Exception):
    """Somebody asked the Hub to stop."""


@click.command()
@click.option("--port", default=8000, show_default=True, help="Port of the loopback address.")
@click.option(
    "--fresh", is_flag=True, help="Forget homes, hand-ins and the course's own copy of earlier runs."
)
@click.option("--demo", is_flag=True, help="Serve the semester that make demo graded.")
@click.option("--prefix", default="", help="Put before every account's name, where one is taken.")
@click.option(
    "--state",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    help="Keep everything there instead; every account must be able to reach it.",
)
@click.option(
    "--students",
    type=click.IntRange(1, 500),
    default=2,
    show_default=True,
    help="Number of student accounts.",
)
@click.option(
    "--lab", "labs", multiple=True, help="Publish this lab only; may be given again. All by default."
)
def hub(
    port: int, fresh: bool, demo: bool, prefix: str, folder: Path | None, students: int, labs: tuple[str, ...]
) -> None:
    """Serve the course at http://127.0.0.1:PORT with students, an assistant and an instructor."""
    chosen = [lab.id for lab in load_course().select(labs)]
    unix = os.geteuid() == 0
    state = folder.resolve() if folder else state_folder(unix)
    (state / "hub").mkdir(parents=True, exist_ok=True, mode=0o700)
    # in a closed folder: whoever can open a file can hold its lock
    with (state / "hub" / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HubError("a Hub of this checkout is already running: stop it with Ctrl-C first") from error
        end_earlier_run(state, unix)
        require_free(port)
        if fresh:
            for name in ("homes", "exchange", "handin", "course", *HUB_FILES):
                _remove(state / name)
        serve(state, port, chosen, students, demo=demo, prefix=prefix, unix=unix)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def state_folder(unix: bool) -> Path:
    """Where this checkout's Hub keeps everything: below /opt as root, because students must reach parts of it."""
    name = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    return SHARED / f"{name}-hub" if unix else ROOT / "build" / "hub"


def end_earlier_run(state: Path, unix: bool) -> None:
    """End what a run that was killed has left, and say so."""
    left = processes.left_behind(state / "processes.json", accounts.numbers_of(state) if unix else set())
    if left:
        count = processes.end_all(left, patience=5)
        console.print(f"an earlier run was not stopped properly: {count} processes of it were ended")
    if unix:
        processes.end_accounts(accounts.numbers_of(state))
        accounts.remove_accounts(state)


def serve(
    state: Path, port: int, labs: list[str], students: int, *, demo: bool, prefix: str, unix: bool
) -> None:
    """Prepare, start, wait for Ctrl-C, stop."""
    processes.adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    started: subprocess.Popen[bytes] | None = None
    try:
        with console.status("preparing") as status:
            site, passwords = prepare(
                state, port, labs, students, demo=demo, prefix=prefix, unix=unix, status=status
            )
            status.update("starting the Hub")
            started = start(state)
            wait_until_ready(started, port, state)
            processes.remember(state / "processes.json")
        print_welcome(console, site, passwords, port, unix)
        while started.poll() is None:
            time.sleep(1)
            processes.remember(state / "processes.json")
            processes.reap(own=started.pid)
        raise HubError(
            f"the Hub ended by itself, so every server was ended too. Homes, hand-ins and the queue are kept: start it "
            f"again. Its last words are in {state / 'hub' / 'log'}"
        )
    except Stopped:
        console.print("stopping")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stop(state, started, unix)


def _stop(*_: object) -> None:
    raise Stopped


def prepare(
    state: Path,
    port: int,
    labs: list[str],
    count: int,
    *,
    demo: bool,
    prefix: str,
    unix: bool,
    status: object,
) -> tuple[Site, dict[str, str]]:
    """Everything up to the Hub's own start. Returns the site and each person's password."""
    say = status.update  # type: ignore[attr-defined]
    prepare_folders(state)
    say("installing the proxy")
    proxy = proxy_command(state / "proxy")
    students, assistants, instructors = (
        [prefix + name for name in names]
        for names in ([f"student{number + 1}" for number in range(count)], ["ta1"], ["instructor1"])
    )
    account = f"{prefix}coursework" if unix else ""
    handin_account = f"{prefix}handin" if unix else ""
    password = "" if unix else secrets.token_urlsafe(9)
    people = [*students, *assistants, *instructors]
    say("making accounts")
    passwords = dict.fromkeys(people, password)
    if unix:
        # the course's account comes first: its number must not change when people are added
        homes = {account: state / "course" / "home", handin_account: state / "handin"}
        homes |= {name: state / "homes" / name for name in people}
        passwords = accounts.make_accounts(homes, state)
    (state / "handin").mkdir(exist_ok=True, mode=0o700)
    prepare_exchange(state / "exchange", account)
    say("copying the course")
    checkout, instance = prepare_course(state, account, demo, console.print)
    site = Site(
        students_environment=str((ROOT / ".venv").resolve()),
        staff_environment=str(checkout / ".venv-staff"),
        checkout=str(checkout),
        instance=str(instance),
        exchange=str(state / "exchange"),
        handin=str(state / "handin"),
        jupyter=str(state / "jupyter"),
        course_account=account,
        handin_account=handin_account,
        instructors=instructors,
        assistants=assistants,
        students=students,
        service_port=0,
        handin_port=0,
    )
    say("building and publishing the labs")
    publish(site, labs)
    # last, so that nobody can take them before the Hub does
    service_port, handin_port, hub_port, proxy_port = free_ports(4)
    site = replace(site, service_port=service_port, handin_port=handin_port)
    drop = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        if unix
        else []
    )
    site.write(state / "hub" / "site.json")
    Settings(port, hub_port, proxy_port, [*drop, *proxy], str(state / "homes"), password).write(
        state / "hub" / "settings.json"
    )
    return site, passwords


def start(state: Path) -> subprocess.Popen[bytes]:
    """Start JupyterHub; its log goes to a file."""
    environment = {name: os.environ[name] for name in ("HOME", "LANG", "TERM") if name in os.environ}
    environment |= {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        SITE_VARIABLE: str(state / "hub" / "site.json"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterhub",
        "--config",
        str(ROOT / "hub_config" / "local" / "jupyterhub_config.py"),
    ]
    log_file = state / "hub" / "log"
    log_file.touch(mode=0o600)
    log_file.chmod(0o600)
    with log_file.open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=state / "hub",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=processes.end_with_parent,
        )


def stop(state: Path, started: subprocess.Popen[bytes] | None, unix: bool) -> None:
    """End the Hub, which ends its servers, then whatever is left below this process, then the accounts."""
    if started is not None and started.poll() is None:
        started.terminate()
        deadline = time.monotonic() + 5
        while started.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    # where the Hub did not do it, the services come first: the course's ends its command itself and remembers the job
    processes.end_all(psutil.Process().children(), patience=3)
    processes.end_all(processes.descendants(), patience=1.5)
    processes.reap()
    if unix:
        processes.end_accounts(accounts.numbers_of(state))
        processes.reap_all(patience=2.0)
        accounts.remove_accounts(state)
        remove_memory_groups(patience=2.0)
    (state / "processes.json").unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        hub(standalone_mode=False)
    except (HubError, CourseError) as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, Stopped, psutil.Error) as error:
        console.print(f"stopped {error}".strip())
        sys.exit(130)
