"""Programs of systemd's names that write down what they were asked and start what they were given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SYSTEMD_RUN = '''#!{python}
"""Stand-in for systemd-run: record the arguments, start the command with the unit's environment and account."""
import json, os, shlex, subprocess, sys
folder = {folder!r}
arguments = sys.argv[1:]
options, unit, place, uid, gid = [], "", "/", None, None
while arguments and arguments[0].startswith("--"):
    option = arguments.pop(0)
    if option in ("--unit", "--working-directory"):
        option += "=" + arguments.pop(0)
    options.append(option)
named = [option[2:].partition("=")[::2] for option in options]
given = dict(named)
properties = [value.partition("=")[::2] for name, value in named if name == "property"]
lines = open(dict(properties)["EnvironmentFile"]).read().splitlines()
environment = {{}}
for line in lines:
    key, _, value = line.partition("=")
    environment[key] = "".join(shlex.split(value))
record = {{"unit": given["unit"], "options": given, "properties": properties, "command": arguments,
    "environment": environment, "inherited": sorted(os.environ), "file_mode": oct(os.stat(dict(properties)["EnvironmentFile"]).st_mode)}}
path = f"{{folder}}/{{given['unit']}}"
json.dump(record, open(path + ".json", "w"))
account = dict(user=int(given["uid"]), group=int(given["gid"]), extra_groups=[]) if os.geteuid() == 0 else {{}}
log = open(path + ".log", "w")
started = subprocess.Popen(arguments, env=environment, cwd=given["working-directory"], umask=0o077, stdout=log,
    stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **account)
open(path + ".pid", "w").write(str(started.pid))
'''
SYSTEMCTL = '''#!{python}
"""Stand-in for systemctl: is-active, is-failed, stop and --version, for what the other stand-in started."""
import os, signal, sys, time
folder = {folder!r}
if sys.argv[1] == "--version":
    print("systemd 252 (252.39-1~deb12u2)")
    sys.exit(0)
unit = sys.argv[2]
path = f"{{folder}}/{{unit}}.pid"
pid = int(open(path).read()) if os.path.exists(path) else 0
def alive():
    try:
        return pid != 0 and open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
if sys.argv[1] == "is-active":
    sys.exit(0 if alive() else 3)
if sys.argv[1] == "stop" and alive():
    os.killpg(pid, signal.SIGTERM)
    for _ in range(50):
        if not alive():
            break
        time.sleep(0.1)
    else:
        os.killpg(pid, signal.SIGKILL)
sys.exit(1 if sys.argv[1] == "is-failed" else 0)
'''


def install(folder: Path) -> Path:
    """Write both into a folder for the front of PATH; records lie in `folder/units`."""
    programs, records = folder / "programs", folder / "units"
    programs.mkdir()
    records.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (programs / name).write_text(text.format(python=f"{sys.executable} -I", folder=str(records)), "utf-8")
        (programs / name).chmod(0o755)
    return programs


def record(folder: Path, unit: str) -> dict[str, object]:
    """What systemd-run was asked for this unit."""
    found: dict[str, object] = json.loads((folder / "units" / f"{unit}.json").read_text("utf-8"))
    return found
