"""Pages about the class: all labs at a glance, the statistics of one, the people with their sections."""

from __future__ import annotations

from typing import Any

from tornado import web

from autograder.bundle import read_bundle
from autograder.enrolment import assign_sections, come_back, leave
from autograder.errors import ConfigurationError
from autograder.report.class_glance import glance
from autograder.report.people import members
from autograder.report.statistics import lab_statistics, read_verdicts
from autograder.report.statistics_page import page
from autograder.service.release_clock import next_opening
from autograder.service.served import served, served_course
from autograder.service.staff_page import StaffPage


class ClassPage(StaffPage):
    """`/formgrader/class`: every lab with who handed in, what is graded and what waits; `?section=` narrows it."""

    template = "class.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """The glance, and what the calendar does next."""
        course = served_course()
        return {
            "found": glance(served(), course, self.get_query_argument("section", "")),
            "next": next_opening(served(), course),
        }


class StatisticsPage(StaffPage):
    """`/formgrader/statistics/LAB`: how hard each check was, and whether it tells strong from weak."""

    @web.authenticated
    async def get(self, lab: str) -> None:
        """The page of `course statistics --html`, made now."""
        shown = await self.worked(self._statistics, lab)
        if shown is not None:
            self.write(shown)

    def _statistics(self, lab: str) -> str:
        instance = served()
        if not instance.bundle(self.require_lab(lab)).is_file():
            raise web.HTTPError(404, "this lab is not built here")
        found = lab_statistics(read_bundle(instance.bundle(lab)), read_verdicts(instance, lab))
        return page(found, back=f"{self.base_url}/formgrader/class")


class PeoplePage(StaffPage):
    """`/formgrader/people`: who is in the class. An instructor puts them into sections and notes who has left."""

    template = "people.tpl"

    def gather(self) -> dict[str, Any]:  # type: ignore[override]
        """Everybody of the gradebook."""
        return {"members": members(served(), served_course())}


class PersonForm(StaffPage):
    """`/formgrader/people/STUDENT`: the form of one line of that page."""

    back = "people"

    def act(self, student: str) -> str:  # type: ignore[override]
        """Change the section, or note that the student left or came back."""
        change = self.field("change")
        if change == "section":
            assign_sections(served(), {student: self.field("section")}, self.who)
        elif change == "leave":
            leave(served(), student, served_course().today(), self.who)
        elif change == "return":
            come_back(served(), student, self.who)
        else:
            raise ConfigurationError("the form says neither section, leave nor return")
        return "people"
