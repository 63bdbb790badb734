"""Everything that must stand before the Hub starts: folders, accounts, the course's copy, a published lab."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from autograder.course import COURSE_ID
from hub_config.course_copy import copy_checkout, give_to
from hub_config.errors import HubError
from hub_config.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
Say = Callable[[str], None]


def prepare_folders(state: Path) -> None:
    """The state folder: `hub` for the Hub alone, `jupyter` to read, `exchange` to reach, `homes` to pass through."""
    os.umask(0o022)
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o755)
    (state / "homes").mkdir(exist_ok=True)
    (state / "homes").chmod(0o711)
    (state / "hub").mkdir(exist_ok=True, mode=0o700)
    (state / "hub").chmod(0o700)
    if (state / "jupyter").exists():
        shutil.rmtree(state / "jupyter")
    shutil.copytree(
        ROOT / "hub_config" / "jupyter", state / "jupyter", ignore=shutil.ignore_patterns("__pycache__")
    )


def prepare_course(state: Path, account: str, demo: bool, say: Say) -> tuple[Path, Path]:
    """The checkout that the course service works in and the instance that it serves.

    With an account of its own that is a copy below `state`; without, it is this checkout.
    With `demo`, the instance is the one that `make demo` graded.
    """
    name = "demo" if demo else "course"
    if demo and not (ROOT / "build" / "demo" / "gradebook.db").is_file():
        raise HubError(
            "there is no demonstration semester yet: run make demo first, or make hub without --demo"
        )
    if not account:
        instance = ROOT / "build" / name
        instance.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_settings(instance, state, account)
        return ROOT, instance
    home = state / "course"
    checkout = home / "checkout"
    fresh = not checkout.exists()
    if not copy_checkout(ROOT, checkout):
        say(
            f"the course's own copy in {checkout} was made from other files than these; --fresh makes it anew"
        )
    instance = checkout / "build" / name
    if demo and _summary(instance) != _summary(ROOT / "build" / "demo"):
        shutil.rmtree(instance, ignore_errors=True)
        shutil.copytree(ROOT / "build" / "demo", instance, symlinks=True)
        fresh = True
    elif not instance.exists():
        instance.mkdir()
        fresh = True
    if fresh:
        # only now: later the folder is the account's, and root must not follow what lies there
        _write_settings(instance, state, account)
        give_to(account, home)
    return checkout, instance


def _summary(instance: Path) -> bytes:
    """What tells one demonstration semester from another."""
    file = instance / "summary.json"
    return file.read_bytes() if file.is_file() else b""


def _write_settings(instance: Path, state: Path, account: str) -> None:
    file = instance / "instance.toml"
    file.write_text(
        f'exchange = "{state / "exchange"}"\naccounts = "{"unix" if account else "shared"}"\n', "utf-8"
    )


def publish(site: Site) -> None:
    """Build and publish every lab that students cannot fetch yet. Raises HubError."""
    course = [f"{site.staff_environment}/bin/python", "-m", "autograder"]
    for lab in sorted((ROOT / "release").iterdir()):
        if (Path(site.exchange) / COURSE_ID / "outbound" / lab.name).is_dir():
            continue
        if not (Path(site.instance) / "bundle" / f"{lab.name}.json").is_file():
            _as_course(site, [*course, "build", lab.name, "--no-execute"])
        _as_course(site, [*course, "release", lab.name, "--instance", site.instance])


def _as_course(site: Site, command: list[str]) -> None:
    change = [
        "setpriv", f"--reuid={site.course_account}", f"--regid={site.course_account}", "--init-groups",
    ] if site.course_account else []  # fmt: skip
    home = str(Path(site.checkout).parent) if site.course_account else os.environ["HOME"]
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*change, *command], capture_output=True, text=True, cwd=site.checkout, env=environment
    )
    if done.returncode != 0:
        raise HubError(f"{' '.join(command[2:5])} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
