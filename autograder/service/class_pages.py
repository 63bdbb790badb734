"""Pages for the staff beside formgrader's: the class at a glance, and the statistics of one lab."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from nbgrader.server_extensions.formgrader.base import BaseHandler
from tornado import web

from autograder.bundle import read_bundle
from autograder.course import Instance, load_course
from autograder.errors import CourseError
from autograder.report.class_glance import Glance, glance
from autograder.report.statistics import lab_statistics, read_verdicts
from autograder.report.statistics_page import page
from autograder.schedule import followed
from autograder.service.formgrader import Guarded
from autograder.service.permissions import INSTANCE_VARIABLE


def served() -> Instance:
    """The instance of this service."""
    return Instance(Path(os.environ[INSTANCE_VARIABLE]))


class ClassPage(Guarded, BaseHandler):  # type: ignore[misc]
    """`/formgrader/class`: every lab with who handed in, what is graded and what waits."""

    @web.authenticated
    async def get(self) -> None:
        """The page; gathering it keeps no other request waiting."""
        try:
            found = await asyncio.to_thread(_glance)
        except CourseError as error:
            raise web.HTTPError(500, str(error)) from error
        self.write(self.render("class.tpl", base_url=self.base_url, found=found))


class StatisticsPage(Guarded, BaseHandler):  # type: ignore[misc]
    """`/formgrader/statistics/LAB`: how hard each check was, and whether it tells strong from weak."""

    @web.authenticated
    async def get(self, lab: str) -> None:
        """The page of `course statistics --html`, made now."""
        self.write(await asyncio.to_thread(_statistics, lab))


def _glance() -> Glance:
    return glance(served(), followed(load_course(), served()))


def _statistics(lab: str) -> str:
    instance = served()
    known = {one.id for one in load_course().labs}
    if lab not in known or not instance.bundle(lab).is_file():
        raise web.HTTPError(404, "this lab is not built here")
    return page(lab_statistics(read_bundle(instance.bundle(lab)), read_verdicts(instance, lab)))
