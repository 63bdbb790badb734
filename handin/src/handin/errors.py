"""Why something is not done here, for the person who asked.

HandInError                 the text says what, where and what to do next
├── Refused                 the service does not take or give this; has the status of its HTTP answer
├── NotAPackage             the bytes are not a hand-in, or over a limit
└── Unreachable             the service does not answer
"""

from __future__ import annotations


class HandInError(Exception):
    """Something a person has to act on. The text is shown as it is."""


class Refused(HandInError):
    """The service does not do this. `status` is that of the HTTP answer."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class NotAPackage(HandInError):
    """These files cannot be a hand-in; the text names the file and the limit."""


class Unreachable(HandInError):
    """The service does not answer."""
