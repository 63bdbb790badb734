"""Receipts: one line for every notebook whose grade was written, each chained to the one before.

A receipt says what was graded (hash of the hand-in), against what (version of the notebook's tests, parts of
the environment), under which limits, and what came out: each check's value against its limit.
"""

from __future__ import annotations

from autograder.actions import beside, operator
from autograder.chain import Chain, Line
from autograder.errors import ReceiptError

Receipt = Line
UNREADABLE = "unreadable"
"""In the place of a hash where the staff's journal could not be read."""


class Receipts(Chain):
    """The receipts of one instance. Graders append, one at a time; so does nbgrader's own command.

    A receipt that was cut short by a kill is no loss: its grade is written again by whoever grades next.
    """

    def append(self, content: Receipt) -> Receipt:
        """Chain a receipt to the last, with `by`, who had it graded, and `actions`, where the staff's journal stood.

        So whoever shortens that journal has to change receipts too.
        """
        try:
            actions = beside(self.file).head()
        except (ReceiptError, OSError):
            actions = UNREADABLE  # grading goes on; `course audit` says what is wrong
        return super().append({"by": operator(), "actions": actions, **content})

    def latest(self) -> dict[tuple[str, str, str], Receipt]:
        """The last receipt of each (lab, student, notebook). Raises ReceiptError."""
        return {(item["lab"], item["student"], item["notebook"]): item for item in self.read()}
