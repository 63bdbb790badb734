"""The proxy is a unit of its own; its token comes from a file, so that no listing of the configuration shows it."""

from __future__ import annotations

from pathlib import Path

from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets import Unicode, default


class ProxyWithTokenFile(ConfigurableHTTPProxy):  # type: ignore[misc]
    """configurable-http-proxy, started by systemd."""

    token_file = Unicode(help="The file that holds the proxy's token.").tag(config=True)

    @default("auth_token")  # type: ignore[untyped-decorator]
    def _read_token(self) -> str:
        return Path(self.token_file).read_text("ascii").strip()
