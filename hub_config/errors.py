"""What keeps a Hub from starting, in one line for a person."""

from __future__ import annotations


class HubError(Exception):
    """The Hub cannot be started or stopped; the text says what, where and what to do."""
