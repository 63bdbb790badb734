"""Pages about grades: requests to look again, what changed, hand-ins that are alike, and the journal."""

from __future__ import annotations

from itertools import islice
from typing import Any

from handin.errors import HandInError
from tornado import web

from autograder.actions import note, read_actions
from autograder.errors import ConfigurationError
from autograder.grade.audit import audit
from autograder.grade.handed_in import NotANotebook
from autograder.grade.receipts import Receipts
from autograder.handin import has_service, service, told
from autograder.report.changes import regrades
from autograder.report.side_by_side import LINES, pair_rows
from autograder.report.similarity import last_comparison
from autograder.service.manual_grading import BY_HAND
from autograder.service.served import built_labs, served, served_course
from autograder.service.staff_page import QueueingPage, StaffPage

MOST = 500
"""Lines of a journal on one page."""


class RequestsPage(StaffPage):
    """`/formgrader/requests`: what students ask to be looked at again, with a form for the answer."""

    template = "requests.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """Those that wait, the oldest first, and those that are answered, the newest first."""
        if not has_service(served()):
            raise ConfigurationError("there is no hand-in service here that students could ask through")
        try:
            asked = service(served()).asked()
        except HandInError as error:
            raise told(error, "the requests could not be fetched") from error
        return {
            "waiting": [one for one in asked if one["answered"] is None],
            "answered": [one for one in reversed(asked) if one["answered"] is not None][:MOST],
        }


class AnswerForm(StaffPage):
    """`/formgrader/requests/NUMBER`: the answer to one of them."""

    back = "requests"

    def act(self, number: str) -> str:  # type: ignore[override]
        """Send it to the hand-in service, which shows it to the student."""
        if not number.isdecimal():
            raise web.HTTPError(404)
        text = self.field("answer")
        if not text:
            raise ConfigurationError("the answer is empty; the student would see nothing")
        try:
            asked = [one for one in service(served()).asked() if one["id"] == int(number)]
            if asked and asked[0]["answered"] is not None:
                raise ConfigurationError(
                    f"request {number} is answered already, so your answer was not sent. Go back to read the other: "
                    f"{asked[0]['answer']}"
                )
            service(served()).answer(int(number), text)
        except HandInError as error:
            raise told(error, f"request {number} was not answered") from error
        (one,) = asked
        note(served(), f"answered request {number}", who=self.who, student=one["student"], lab=one["lab"])
        return "requests"


class ChangesPage(StaffPage):
    """`/formgrader/changes`: whose grade changed, when, by whom and why; and the button that grades a lab again."""

    template = "changes.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """The changes of all labs, or of the one in `?lab=`."""
        lab = self.get_query_argument("lab", "")
        labs = built_labs()
        if lab and lab not in labs:
            raise web.HTTPError(404)
        by_hand = [one for one in read_actions(served()) if one.what.startswith(BY_HAND)]
        return {
            "labs": labs,
            "lab": lab,
            "regrades": regrades(served(), lab)[:MOST],
            "by_hand": [one for one in reversed(by_hand) if lab in ("", one.lab)][:MOST],
        }


class RegradeForm(QueueingPage):
    """`/formgrader/changes/LAB`: grade a lab again where something changed."""

    back = "changes"
    title = "grade again what changed, {0}"
    command = ("regrade", "{0}")


class SimilarPage(StaffPage):
    """`/formgrader/similar`: for each lab the pairs of the last comparison."""

    template = "similar.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """Every lab that is built."""
        return {"labs": [(lab, last_comparison(served(), lab)) for lab in built_labs()]}


class CompareForm(QueueingPage):
    """`/formgrader/similar/LAB`: compare the hand-ins of a lab."""

    back = "similar"
    title = "compare hand-ins, {0}"
    command = ("similar", "{0}")


class PairPage(StaffPage):
    """`/formgrader/similar/LAB/NOTEBOOK/FIRST/SECOND`: two students' own code side by side."""

    template = "pair.tpl"

    def gather(self, lab: str, notebook: str, first: str, second: str) -> dict[str, Any]:  # type: ignore[override]
        """The rows of the table."""
        known = {one.id: one for one in served_course().labs}
        if lab not in known or notebook not in known[lab].notebooks:
            raise web.HTTPError(404)
        try:
            pair = pair_rows(served(), lab, notebook, first, second)
        except (OSError, NotANotebook) as error:
            raise web.HTTPError(404, "one of the two has no such notebook any more") from error
        return {
            "lab": lab, "notebook": notebook, "first": first, "second": second, "pair": pair, "most": LINES,
        }  # fmt: skip


class JournalPage(StaffPage):
    """`/formgrader/journal`: who of the staff did what, the receipts of grades, and whether both hold."""

    template = "journal.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """The newest lines of both; `?student=` and `?lab=` narrow them."""
        student, lab = (self.get_query_argument(name, "") for name in ("student", "lab"))

        def wanted(of_student: str, of_lab: str) -> bool:
            return student in ("", of_student) and lab in ("", of_lab)

        found = audit(served())
        if found.broken:
            return {
                "audit": found,
                "actions": [],
                "receipts": [],
                "student": student,
                "lab": lab,
                "most": MOST,
            }
        actions = [one for one in read_actions(served()) if wanted(one.student, one.lab)]
        receipts = [one for one in Receipts(served().receipts).read() if wanted(one["student"], one["lab"])]
        return {
            "audit": found,
            "actions": list(islice(reversed(actions), MOST)),
            "receipts": list(islice(reversed(receipts), MOST)),
            "student": student,
            "lab": lab,
            "most": MOST,
        }
