"""The check before the Hub starts: every weakness at once, or none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from hub_config.errors import HubError
from hub_config.server.accounts import Accounts
from hub_config.server.check_accounts import account_weaknesses
from hub_config.server.check_configuration import configuration_weaknesses
from hub_config.server.check_files import file_weaknesses
from hub_config.server.configuration import ROOT
from hub_config.server.settings import Settings
from hub_config.server.weakness import Weakness

UNSAFE = 78
"""Exit status for a bad configuration; the unit does not start the Hub again after it."""


def weaknesses(settings: Settings, c: Any, accounts: Accounts | None = None) -> Iterator[Weakness]:
    """Everything that is unsafe about configuration, files and accounts."""
    accounts = accounts or Accounts()
    yield from configuration_weaknesses(c)
    yield from file_weaknesses(settings, ROOT)
    yield from account_weaknesses(settings, accounts)


def describe(found: list[Weakness]) -> str:
    """The list as it is printed."""
    head = f"The Hub is not started: {len(found)} thing{'s' if len(found) > 1 else ''} to put right first."
    return "\n".join([head, *(f"{number}. {one}" for number, one in enumerate(found, 1))])


def stop_if_unsafe(read: Callable[[], Settings], fill: Callable[[Settings], None], c: Any) -> Settings:
    """Read the settings, fill `c` and examine all of it; end this process where something is unsafe.

    SystemExit, because JupyterHub reports an ordinary error of its configuration with a traceback.
    """
    try:
        settings = read()
    except HubError as error:
        print(f"The Hub is not started: {error}", file=sys.stderr)
        sys.exit(UNSAFE)
    fill(settings)
    found = list(weaknesses(settings, c))
    if found:
        print(describe(found), file=sys.stderr)
        sys.exit(UNSAFE)
    return settings
