"""Run something under the course's account: what root does itself in that account's folders could be misled."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from autograder.report.neutral import neutral_text
from hub_config.errors import HubError

OWNED = ("gradebook", "exchange")
"""Settings of instance.toml that are a deployment's. The others are the class's: its path, its dates, its calendar."""
WRITE_SETTINGS = (
    'umask 077; mkdir -p "$0" && cd "$0" && { cat; grep -sv '
    + " ".join(f'-e "^{name} *="' for name in OWNED)
    + " instance.toml; true; } > instance.toml.new && mv instance.toml.new instance.toml"
)
"""Shell: the text on standard input takes the place of the deployment's settings in instance.toml of the folder, which
is made where it is missing."""


def as_course(account: str, folder: Path, command: list[str], text: str = "") -> None:
    """Run a command in a folder under the course's account. Raises HubError.

    It gets a session of its own: a program with root's terminal could type into it.
    """
    change = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"] if account else []
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": pwd.getpwnam(account).pw_dir if account else os.environ["HOME"],
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*change, *command],
        input=text.encode(),
        capture_output=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    if done.returncode != 0:
        said = neutral_text((done.stderr or done.stdout).decode(errors="replace")).strip()
        raise HubError(f"{' '.join(command[2:5])} failed: {said[-1500:]}")
