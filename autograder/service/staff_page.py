"""What the staff's own pages have in common: guarded, gathered in a thread, forms that end in a redirect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from nbgrader.server_extensions.formgrader.base import BaseHandler
from tornado import web

from autograder.errors import CourseError
from autograder.grade.collect import STUDENT
from autograder.service.formgrader import Guarded, queue_job
from autograder.service.permissions import Role, role_of
from autograder.service.served import served_course

LONGEST_TEXT = 2_000
"""Characters of one field of a form; the hand-in service takes no longer answer."""
Found = TypeVar("Found")


class StaffPage(Guarded, BaseHandler):  # type: ignore[misc]
    """One page. `gather` finds what its template shows; `act` does what its form asks and says where to go next.

    Both run in a thread, so that no other request waits, and may raise CourseError, which becomes a page.
    """

    template = ""
    """Empty where there is only a form to send: who looks at its address is shown the page `back`."""
    back = ""

    def gather(self, *names: str) -> dict[str, Any]:
        """What the template is filled with. `names` are parts of the address, each the name of something."""
        return {}

    def act(self, *names: str) -> str:
        """Do what the form asks; return the page to show next, below `/formgrader/`."""
        raise web.HTTPError(405)

    @web.authenticated
    async def get(self, *names: str) -> None:
        """The page."""
        self.require_names(names)
        if not self.template:
            self.redirect(f"{self.base_url}/formgrader/{self.back}")
            return
        found = await self.worked(self._gathered, *names)
        if found is not None:
            self.write(self.filled(self.template, **found))

    def _gathered(self, *names: str) -> dict[str, Any]:
        return {"zone": served_course().time_zone, **self.gather(*names)}

    @web.authenticated
    async def post(self, *names: str) -> None:
        """Act, then show a page, so that reloading that acts no second time."""
        self.require_names(names)
        after = await self.worked(self.act, *names)
        if after is not None:
            self.redirect(f"{self.base_url}/formgrader/{after}", status=303)

    async def worked(self, work: Callable[..., Found], *names: str) -> Found | None:
        """What some work in a thread comes to; None when it raised CourseError, which is shown then."""
        try:
            return await asyncio.to_thread(work, *names)
        except CourseError as error:
            self.show_problem(error)
            return None

    def require_names(self, names: tuple[str, ...]) -> None:
        """Raise HTTPError 404 for what can be the name of nothing."""
        if any(STUDENT.fullmatch(name) is None for name in names):
            raise web.HTTPError(404)

    def show_problem(self, error: CourseError) -> None:
        """A page that says what, where and what next."""
        self.set_status(409)
        self.write(self.filled("problem.tpl", problem=str(error)))

    def filled(self, template: str, **found: Any) -> str:
        """A template with what every page has: the address, the form's token, whether an instructor looks."""
        page: str = self.render(
            template,
            base_url=self.base_url,
            xsrf=self.xsrf_form_html(),
            instructor=self.is_instructor,
            here=self.request.path.removeprefix(f"{self.base_url}/formgrader/").split("/")[0],
            **found,
        )
        return page

    @property
    def is_instructor(self) -> bool:
        """Whether an instructor asks."""
        return role_of(self.current_user.hub_user.get("groups", [])) is Role.INSTRUCTOR

    @property
    def who(self) -> str:
        """Who asks, as the Hub knows them."""
        name: str = self.current_user.username
        return name

    def field(self, name: str) -> str:
        """One field of the form. Raises HTTPError 400 when it is too long."""
        text: str = self.get_body_argument(name, "").strip()
        if len(text) > LONGEST_TEXT:
            raise web.HTTPError(400, f"{name} is longer than {LONGEST_TEXT} characters")
        return text

    def require_lab(self, lab: str) -> str:
        """The lab, if the course has it. Raises HTTPError 404."""
        if lab not in {one.id for one in served_course().labs}:
            raise web.HTTPError(404)
        return lab


class QueueingPage(StaffPage):
    """A form that only starts long work: it goes to the queue, and the queue is shown."""

    title = ""
    """What the job is called; `{0}` is the lab."""
    command: tuple[str, ...] = ()

    @web.authenticated
    async def post(self, lab: str) -> None:
        """Queue the command. In the loop's own thread, which the queue belongs to."""
        self.require_names((lab,))
        if await self.worked(self.require_lab, lab) is None:
            return
        try:
            queue_job(self, self.title, self.command, lab)
        except CourseError as error:
            self.show_problem(error)
            return
        self.redirect(f"{self.base_url}/formgrader/queue", status=303)
