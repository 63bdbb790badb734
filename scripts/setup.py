"""Set up the two environments of the course; needs Python 3.11 and nothing else.

    python3.11 scripts/setup.py            what `make demo` and the Hub need
    python3.11 scripts/setup.py --tests    the same, with the tools of `make check` and `make test`

`.venv` holds the libraries and labkit: what students and the sandbox run. As root it lies under
/opt, because the sandbox and student accounts must be able to read it and may not read the
checkout; `.venv` is then a link. `.venv-staff` (mode 0700) adds the course's own code and sees the
libraries of `.venv`. A second run compares a stamp with the lock files and installs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
SHARED = Path(os.environ.get("COURSE_OPT", "/opt/model-compression-course"))
IS_ROOT = os.name == "posix" and os.geteuid() == 0
TORCH_INDEX = os.environ.get("TORCH_INDEX_URL", "")
SERVERS = Path("/usr/lib/postgresql")
CLUSTER_SETTING = Path("/etc/postgresql-common/createcluster.d/course-tests.conf")
POLICY = Path("/usr/sbin/policy-rc.d")
TEST_PACKAGES = {"chromium": "chromium", "nginx": "nginx-light", "systemd-analyze": "systemd"}
SYSTEM_PACKAGES = {"bwrap": "bubblewrap", "setpriv": "util-linux", "prlimit": "util-linux"}

OWN = ("labkit", "handin")
"""Packages of this checkout that students' servers need."""


class SetupFailed(Exception):
    """Set-up cannot go on; the text says what to do."""


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(command: list[str], what: str) -> None:
    """Run one installer quietly; show its output only when it fails."""
    started = time.monotonic()
    say(f"{what} ...")
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if done.returncode != 0:
        tail = "\n".join(
            line for line in done.stdout.splitlines() if not line.startswith("WARNING: Location")
        )
        raise SetupFailed(f"{what} failed:\n{tail[-3000:]}\ncommand: {' '.join(command)}")
    say(f"{what}: {time.monotonic() - started:.0f} s")


def find_python() -> str:
    """The system's Python 3.11 first: one under a private home cannot be run by the sandbox's user."""
    candidates = ["/usr/bin/python3.11", shutil.which("python3.11"), sys.executable]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            probe = [candidate, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"]
            answer = subprocess.run(probe, capture_output=True, text=True)
            if answer.stdout.split() == ["3", "11"]:
                return candidate
            if candidate == "/usr/bin/python3.11" and "ensurepip" in answer.stderr:
                install_system(["python3.11-venv"])
                return candidate
    raise SetupFailed("Python 3.11 with venv is needed: apt-get install python3.11 python3.11-venv")


def install_system(packages: list[str]) -> None:
    """Install Debian packages as root; otherwise say the one line to run."""
    line = f"apt-get install -y {' '.join(packages)}"
    if not IS_ROOT or shutil.which("apt-get") is None:
        raise SetupFailed(f"a system package is missing. Run as root, then start again:\n    {line}")
    environment = ["DEBIAN_FRONTEND=noninteractive"]
    run(["env", *environment, "apt-get", "update"], "apt-get update")
    run(["env", *environment, *line.split()], line)


def check_system_packages() -> None:
    """Bubblewrap and the util-linux tools that start it."""
    missing = sorted({package for tool, package in SYSTEM_PACKAGES.items() if shutil.which(tool) is None})
    if missing:
        install_system(missing)


def check_test_packages() -> None:
    """Debian packages that only tests use. As root they are installed; anyone else is told once, because the
    tests that need them are skipped without.
    """
    missing = []
    if not any(SERVERS.glob("*/bin/initdb")):
        missing.append("postgresql")
    missing += [package for tool, package in TEST_PACKAGES.items() if shutil.which(tool) is None]
    if missing and IS_ROOT and shutil.which("apt-get") is not None:
        with no_servers():
            install_system(missing)
        return
    stamp = Stamp(ROOT / ".venv-staff" / "course-stamp.json")
    reported = " ".join(missing)
    if missing and stamp.stale("test packages", reported):
        say(f"tests that need a system package are skipped; as root: apt-get install -y {reported}")
        stamp.set("test packages", reported)


@contextlib.contextmanager
def no_servers() -> Iterator[None]:
    """Keep Debian's packages from starting servers, and PostgreSQL's from making one: the tests start their own."""
    CLUSTER_SETTING.parent.mkdir(parents=True, exist_ok=True)
    CLUSTER_SETTING.write_text("create_main_cluster = off\n")
    own_policy = not POLICY.exists()
    if own_policy:
        POLICY.write_text("#!/bin/sh\nexit 101\n")  # what Debian's packages ask before they start a service
        POLICY.chmod(0o755)
    try:
        yield
    finally:  # a server that an administrator installs later is no business of the tests
        if own_policy:
            POLICY.unlink()
        CLUSTER_SETTING.unlink()
        if not any(CLUSTER_SETTING.parent.iterdir()):
            CLUSTER_SETTING.parent.rmdir()


def student_home() -> Path:
    """Where `.venv` really is."""
    if not IS_ROOT:
        return ROOT / ".venv"
    return SHARED / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]


def digest(*paths: Path) -> str:
    """A hash over files, and over every file of folders, with their names."""
    total = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            if not {"__pycache__", "build"} & set(file.parts) and ".egg-info" not in str(file):
                total.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


class Stamp:
    """What was installed last, so that a second run installs nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def stale(self, name: str, value: str) -> bool:
        return self.entries.get(name) != value

    def set(self, name: str, value: str) -> None:
        self.entries[name] = value
        self.path.write_text(json.dumps(self.entries, indent=1))


def make_environment(folder: Path, python: str) -> None:
    if not (folder / "bin" / "python").exists():
        if folder.exists():
            shutil.rmtree(folder)
        run([python, "-m", "venv", str(folder)], f"environment {folder}")


def pip(folder: Path, *arguments: str, what: str) -> None:
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments], what)


def set_up_students(python: str) -> Path:
    """`.venv`: our own packages by path first, so that no index is ever asked for their names; then the lock."""
    folder = student_home()
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_environment(folder, python)
    stamp = Stamp(folder / "course-stamp.json")
    version = subprocess.run([python, "--version"], capture_output=True, text=True).stdout.strip()
    libraries = version + digest(REQUIREMENTS / "course.lock", REQUIREMENTS / "no-deps.txt")
    fresh = stamp.stale("libraries", libraries)
    for name in OWN:
        package = digest(ROOT / name)
        if fresh or stamp.stale(name, package):
            own = ["--no-deps", "--force-reinstall", str(ROOT / name)]
            pip(folder, *own, what=f"{name}, from this checkout")
            # setuptools leaves a second copy there
            shutil.rmtree(ROOT / name / "build", ignore_errors=True)
            stamp.set(name, package)
    if fresh:
        index = ["--index-url", TORCH_INDEX] if TORCH_INDEX else []
        pip(folder, *index, "torch==2.13.0", what="torch (CPU), 200 MB")
        lock = ["--use-pep517", "-r", str(REQUIREMENTS / "course.lock")]
        pip(folder, *lock, what="libraries, about 200 packages")
        pip(
            folder,
            "--no-deps",
            "-r",
            str(REQUIREMENTS / "no-deps.txt"),
            what="libraries without their dependencies",
        )
        stamp.set("libraries", libraries)
    link = ROOT / ".venv"
    if folder != link and (not link.is_symlink() or link.readlink() != folder):
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder)
    if IS_ROOT:
        subprocess.run(["chmod", "-R", "go+rX", str(folder)], check=True)
        ROOT.chmod(0o700)
    return folder


def set_up_staff(python: str, students: Path, *, tests: bool) -> None:
    """`.venv-staff`: sees the libraries through a .pth file, and the checkout's own packages."""
    folder = ROOT / ".venv-staff"
    make_environment(folder, python)
    folder.chmod(0o700)
    site = folder / "lib" / "python3.11" / "site-packages"
    (site / "course.pth").write_text(f"{students / 'lib' / 'python3.11' / 'site-packages'}\n{ROOT}\n")
    stamp = Stamp(folder / "course-stamp.json")
    for name in ["staff", "server", "test"] if tests else ["staff"]:
        lock = REQUIREMENTS / f"{name}.lock"
        if stamp.stale(name, digest(lock)):
            pip(folder, "--use-pep517", "-r", str(lock), what=f"{name} tools")
            stamp.set(name, digest(lock))
    script = folder / "bin" / "course"
    # guarded, because each worker process of a grading run imports its parent's script
    body = 'from autograder.cli import main\n\nif __name__ == "__main__":\n    main()\n'
    script.write_text(f"#!{folder / 'bin' / 'python'}\n{body}")
    script.chmod(0o755)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tests", action="store_true", help="install the tools of make check and make test too"
    )
    arguments = parser.parse_args()
    try:
        check_system_packages()
        python = find_python()
        students = set_up_students(python)
        set_up_staff(python, students, tests=arguments.tests)
        if arguments.tests:
            check_test_packages()
    except SetupFailed as failure:
        print(f"[setup] {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
