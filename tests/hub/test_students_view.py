"""What a student's terminal can find of the course: nothing by import, nothing in any file that can be read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page

from autograder.build.regions import split_region
from autograder.bundle import read_bundle
from autograder.course import ROOT
from hub_config.running import RunningHub
from tests.hub.conftest import needs_root
from tests.hub.terminals import open_terminal, run_line

pytestmark = [needs_root, pytest.mark.timeout(600)]

SHORTEST = 40
"""Characters of a line that is telling enough to search for."""
LIBRARIES = "-path '*/site-packages/*' -type d ! -path '*/labkit*' -prune"


def secret_lines(hub: RunningHub) -> set[str]:
    """Lines of solutions and hidden tests that stand in nothing that students are given."""
    secret: set[str] = set()
    public = "\n".join(path.read_text("utf-8") for path in (ROOT / "labkit" / "src").rglob("*.py"))
    for file in (hub.instance / "bundle").glob("*.json"):
        for notebook in read_bundle(file).notebooks:
            for cell in notebook.cells:
                public += cell.released
                for region in ("SOLUTION", "HIDDEN TESTS"):
                    for text in split_region(cell.full, region)[1]:
                        secret |= {line.strip() for line in text.splitlines()}
    return {line for line in secret if len(line) >= SHORTEST and line not in public}


def test_nothing_of_the_course_can_be_found_from_a_students_terminal(
    hub: RunningHub, people: Callable[[str], BrowserContext], look: Callable[[Page, str], None]
) -> None:
    lines = secret_lines(hub)
    assert len(lines) > 100
    home = hub.home("student1")
    (home / "patterns").write_text("\n".join(sorted(lines)) + "\n")
    (home / "control.txt").write_text(f"# a copy\n{sorted(lines)[0]}\n")
    script = home / "search.sh"
    script.write_text(
        "id -un > out.txt\n"
        "for name in reference_impl heldout autograder hub_config; do\n"
        '  python -c "import $name" 2>> imports.txt && echo "imported $name" >> out.txt\n'
        "done\n"
        # what set-up wrote, and whatever came onto this machine since the Hub started, in every folder that
        # this account can list, and in its home, whose parent it cannot list; libraries as everybody can
        # download them hold gigabytes and nothing of the course, except labkit
        f"( find {ROOT} {(ROOT / '.venv').resolve()} {LIBRARIES} -o -type f -readable -size -30M -print0;"
        f" find / ~ \\( -path /proc -o -path /sys \\) -prune -o {LIBRARIES}"
        f" -o -type f -readable -newermt @{hub.started:.0f} -size -30M -print0 ) 2> /dev/null"
        " | LC_ALL=C xargs -0 grep -lFf patterns --exclude=patterns 2> /dev/null | sort -u >> out.txt\n"
        "ls /work /root /opt/hub-test-* 2> /dev/null | grep -c gradebook >> out.txt\n"
        "echo finished >> out.txt\n"
    )
    for path in (home / "patterns", home / "control.txt", script):
        path.chmod(0o644)
    page = open_terminal(people("student1"), f"{hub.url}/user/{hub.prefix}student1")
    run_line(page, home, "sh search.sh; cat out.txt", seconds=420)
    look(page, "15-student-terminal")
    found = (home / "out.txt").read_text().splitlines()
    assert found == [f"{hub.prefix}student1", str(home / "control.txt"), "0", "finished"]
    errors = (home / "imports.txt").read_text()
    assert len(re.findall("ModuleNotFoundError: No module named", errors)) == 4
    page.close()


def test_the_environment_of_a_students_server_names_no_secret(
    hub: RunningHub, people: Callable[[str], BrowserContext]
) -> None:
    """Tokens of the Hub, the proxy and the service stay with those who need them."""
    people("student1")  # logging in starts the server

    secrets = {(hub.state / "hub" / "cookie_secret").read_text().strip()}
    tokens = {
        "configurable-http-proxy": "CONFIGPROXY_AUTH_TOKEN",
        "autograder.service": "JUPYTERHUB_API_TOKEN",
    }
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            for program, variable in tokens.items():
                if program in " ".join(process.cmdline()):
                    secrets.add(process.environ().get(variable, ""))
    secrets.discard("")
    assert len(secrets) >= 3
    seen = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if process.username() == f"{hub.prefix}student1":
                text = "\0".join(process.environ().values()) + " ".join(process.cmdline())
                assert not any(secret in text for secret in secrets)
                seen += 1
    assert seen > 0
    assert not list(Path(hub.state / "jupyter").rglob("*.pyc"))
