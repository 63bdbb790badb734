"""Is the class served, from `install` on an empty machine to a restored backup, with everything real but systemd?

One machine for all tests of this file; they run in the order in which they stand.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("systemdspawner", reason="pip install -r requirements/server.lock into .venv-staff")

from hub_config.server.secret_files import MEANING
from tests.hub.server import front, stand_ins
from tests.hub.server.machine import HUB_TOML, PASSWORDS, Machine
from tests.hub.server.visitor import HUB, Visitor

# two minutes of a whole machine; the parts of it are tested every day beside this file
pytestmark = pytest.mark.nightly
LAB = "Lab-3.1"


@pytest.fixture(scope="module")
def served(machine: Machine) -> Iterator[Machine]:
    """The machine with proxy, Hub and nginx running."""
    machine.run("chpasswd", text="".join(f"{name}:{word}\n" for name, word in PASSWORDS.items()))
    machine.start_proxy()
    machine.start_hub()
    with front.running(machine.settings, machine.folder / "nginx", machine.http, machine.https):
        yield machine


@pytest.fixture(scope="module")
def ada(served: Machine) -> Visitor:
    """A student, logged in, with her server running."""
    visitor = Visitor(served.folder, served.https)
    visitor.log_in("ada", PASSWORDS["ada"])
    visitor.start_server("ada")
    return visitor


def psql(machine: Machine, question: str, database: str) -> str:
    """Ask as the account postgres."""
    options = ["--host", str(machine.server.folder), "--dbname", database, "-XAtq", "--command", question]
    return machine.server.run("psql", *options).strip()


def test_dry_run_changes_nothing(machine: Machine) -> None:
    before = sorted(path for path in machine.etc.rglob("*"))
    said = machine.server_command("install", "--dry-run")
    assert "would do  the course's account coursework" in said
    assert "would do  roles and databases in PostgreSQL" in said
    assert "doing" not in said
    assert sorted(path for path in machine.etc.rglob("*")) == before
    assert not (machine.folder / "course").exists()


def test_install_then_nothing_is_left_to_do(machine: Machine) -> None:
    said = machine.server_command("install")
    assert "doing     an account for ada" in said
    again = machine.server_command("install")
    assert "doing" not in again
    assert "would do" not in machine.server_command("install", "--dry-run")


def test_what_install_made(machine: Machine) -> None:
    course = machine.settings.course
    assert "coursework:x:" in machine.run("getent", "passwd", "coursework")
    assert machine.run("getent", "passwd", "coursework").strip().endswith("/usr/sbin/nologin")
    assert machine.run("getent", "shadow", "ada").split(":")[1].startswith("!")
    modes = {
        Path(course.home): 0o700,
        course.checkout: 0o700,
        course.instance: 0o700,
        Path(course.exchange): 0o755,
        Path(machine.settings.handin.folder): 0o700,
        machine.folder / "homes" / "ada": 0o700,
        machine.folder / "backups": 0o700,
        machine.etc / "model-compression-course" / "secrets": 0o700,
    }
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes
    assert "Nothing unsafe was found" in machine.server_command("check")


def test_databases_know_accounts_and_no_password(machine: Machine) -> None:
    owners = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ('jupyterhub', 'gradebook')"
    assert set(psql(machine, owners, "postgres").split()) == {"jupyterhub|root", "gradebook|coursework"}
    assert psql(machine, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL", "postgres") == "0"
    assert psql(machine, "SELECT rolsuper FROM pg_roles WHERE rolname = 'root'", "postgres") == "f"


def test_configuration_is_shown_without_a_secret(machine: Machine) -> None:
    hub = machine.unit_command("course-hub.service")
    shown = machine.run(*hub, "--show-config")
    for promised in (
        ".subdomain_host = 'https://course.test'",
        ".allow_existing_users = False",
        ".cleanup_servers = False",
        ".cookie_host_prefix_enabled = True",
        ".should_start = False",
        ".spawner_class = 'systemdspawner.SystemdSpawner'",
        ".mem_limit = '4G'",
        ".open_sessions = False",
        f".hub_bind_url = 'http://127.0.0.1:{machine.settings.ports.hub}'",
    ):
        assert promised in shown
    folder = machine.etc / "model-compression-course" / "secrets"
    for name in MEANING:
        assert (folder / name).read_text() not in shown


def test_hub_refuses_an_unsafe_machine(machine: Machine) -> None:
    secret = machine.etc / "model-compression-course" / "secrets" / "cookie_secret"
    secret.chmod(0o644)
    (machine.folder / "homes" / "ada").chmod(0o755)
    try:
        done = subprocess.run(
            machine.command(machine.unit_command("course-hub.service")),
            cwd=machine.folder / "state",
            env=machine.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        secret.chmod(0o600)
        (machine.folder / "homes" / "ada").chmod(0o700)
    assert done.returncode == 78
    assert "2 things to put right first" in done.stderr
    assert "others can read the secret cookie_secret" in done.stderr
    assert "look into the home of ada" in done.stderr
    assert "Traceback" not in done.stderr


def test_course_account_makes_the_gradebook(machine: Machine) -> None:
    """Under its own name, in its own checkout, with the settings that `install` wrote."""
    course = machine.settings.course
    script = (
        "from autograder.configuration import nbgrader_configuration, prepare_instance\n"
        "from autograder.course import instance\n"
        "from autograder.gradebook import open_gradebook\n"
        "prepare_instance(instance())\n"
        f"(instance().source / '{LAB}').mkdir()\n"
        "nbgrader_configuration(instance())\n"  # puts nbgrader's tools on the path
        f"with open_gradebook(instance()) as book: book.add_assignment('{LAB}')\n"
    )
    python = f"{course.checkout}/.venv-staff/bin/python"
    command = f"cd {course.checkout} && HOME={course.home} exec {python} -c {shlex.quote(script)}"
    machine.run("runuser", "-u", course.account, "--", "sh", "-c", command)
    assert psql(machine, "SELECT count(*) FROM assignment", "gradebook") == "1"


def test_student_logs_in_and_works(served: Machine, ada: Visitor) -> None:
    asked = stand_ins.record(served.folder, "jupyter-ada-singleuser")
    options: Any = asked["options"]
    assert options["uid"] == served.run("id", "-u", "ada").strip()
    pid = int((served.folder / "units" / "jupyter-ada-singleuser.pid").read_text())
    assert Path(f"/proc/{pid}").stat().st_uid == int(options["uid"])
    environment = Path(f"/proc/{pid}/environ").read_text()
    folder = served.etc / "model-compression-course" / "secrets"
    for name in MEANING:
        assert (folder / name).read_text() not in environment
    for word in ("CRYPT", "CONFIGPROXY", "COURSE_HUB"):
        assert word not in environment


def test_cookies_stay_with_the_hub(ada: Visitor) -> None:
    hub = [cookie for cookie in ada.cookies if cookie.domain == "course.test"]
    login = [cookie for cookie in hub if cookie.name.startswith("__Host-jupyterhub")]
    assert login
    for cookie in hub:
        assert cookie.secure, cookie.name
        assert cookie.has_nonstandard_attr("HttpOnly"), cookie.name
        assert cookie.get_nonstandard_attr("SameSite") == "Lax", cookie.name
        assert not cookie.domain_specified, f"{cookie.name} would reach the students' servers"


def test_stranger_and_wrong_password_stay_outside(served: Machine) -> None:
    stranger = Visitor(served.folder, served.https)
    assert stranger.log_in("ada", "wrong").status_code == 403
    assert stranger.status("ada").status_code in (302, 403)


def test_instructor_lands_in_the_course_and_a_student_stays_out(served: Machine, ada: Visitor) -> None:
    ines = Visitor(served.folder, served.https)
    ines.log_in("ines", PASSWORDS["ines"])
    course = "https://course--service.course.test/services/course/"
    landed = ines.get(f"{HUB}/")
    assert landed.url.startswith(course), landed.url
    assert landed.status_code == 200
    assert LAB in ines.get(f"{course}formgrader/api/assignments").text
    assert ada.get(f"{course}formgrader/manage_assignments").status_code == 403


def test_restart_keeps_servers_and_drops_who_is_no_longer_listed(served: Machine, ada: Visitor) -> None:
    bob = Visitor(served.folder, served.https)
    bob.log_in("bob", PASSWORDS["bob"])
    assert bob.get(f"{HUB}/hub/home").url.endswith("/hub/home")
    pid = (served.folder / "units" / "jupyter-ada-singleuser.pid").read_text()
    served.stop("course-hub.service")
    assert ada.status("ada").status_code == 200, "the server was lost while the Hub was away"
    file = served.etc / HUB_TOML
    file.write_text(file.read_text().replace('students = ["ada", "bob"]', 'students = ["ada"]'))
    assert "bob is no longer listed: logged out" in served.server_command("drop-unlisted")
    served.start_hub()
    assert Path(f"/proc/{pid}").exists()
    assert ada.status("ada").status_code == 200
    assert (served.folder / "units" / "jupyter-ada-singleuser.pid").read_text() == pid
    assert "/hub/login" in bob.get(f"{HUB}/hub/home").url
    assert bob.log_in("bob", PASSWORDS["bob"]).status_code == 403


def test_log_holds_no_secret(served: Machine) -> None:
    log = served.log("course-hub.service") + served.log("course-proxy.service")
    folder = served.etc / "model-compression-course" / "secrets"
    for value in [*((folder / name).read_text() for name in MEANING), *PASSWORDS.values()]:
        assert value not in log


def test_backup_survives_the_loss_of_both_databases(served: Machine, ada: Visitor) -> None:
    """Backup, drop, restore; a Hub that starts on it knows its people, and the course's account owns the gradebook."""
    served.server_command("backup")
    (backup,) = (served.folder / "backups").iterdir()
    known = "SELECT string_agg(name, ',' ORDER BY name) FROM users"
    before = psql(served, known, "jupyterhub")
    assert "ada" in before.split(",")
    served.stop("course-hub.service")
    for name in ("jupyterhub", "gradebook"):
        psql(served, f"DROP DATABASE {name} WITH (FORCE)", "postgres")
    served.server_command("install")
    course = served.settings.course
    arguments = ["--instance", str(course.instance), "--hub-database", served.settings.databases.hub]
    python = f"{os.path.realpath('.venv-staff')}/bin/python"
    served.run(python, "-m", "autograder", "restore", str(backup), *arguments, "--replace")
    assert psql(served, known, "jupyterhub") == before
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert psql(served, owners, "gradebook") == "coursework"
    assert psql(served, owners, "jupyterhub") == "root"
    assert psql(served, "SELECT count(*) FROM assignment", "gradebook") == "1"
    served.start_hub()
    assert ada.get(f"{HUB}/hub/home").url == f"{HUB}/hub/home", "the Hub does not know her any more"
