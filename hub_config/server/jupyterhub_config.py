"""The Hub of one machine. Started by course-hub.service; refuses to start where something is unsafe."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from jupyterhub.crypto import CryptKeeper

from hub_config.server.check import stop_if_unsafe
from hub_config.server.configuration import fill
from hub_config.server.secret_files import CRYPT, read_secret
from hub_config.server.settings import read_settings, settings_file

c = get_config()  # noqa: F821 (JupyterHub provides it)
settings = stop_if_unsafe(lambda: read_settings(settings_file()), lambda found: fill(c, found), c)
# not in `c`, which --show-config prints
CryptKeeper.instance(keys=[read_secret(Path(settings.paths.secrets), CRYPT)])
