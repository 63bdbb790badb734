"""nbgrader's formgrader with its handlers guarded, its pages safe, and its long work queued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbgrader.server_extensions.formgrader import apihandlers, handlers
from nbgrader.server_extensions.formgrader.base import BaseApiHandler, BaseHandler
from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension
from tornado import web

from autograder.actions import note
from autograder.errors import CourseError
from autograder.grade.collect import STUDENT
from autograder.service.jobs import Job
from autograder.service.manual_grading import RecordedComment, RecordedFlag, RecordedGrade, RecordedStudent
from autograder.service.permissions import Role, role_of
from autograder.service.queue import JobQueue, QueueFull
from autograder.service.safe_pages import GradingPageExporter, new_nonce, page_environment, policy
from autograder.service.served import served

STATIC = Path(__file__).parent / "static"
NOT_WITHDRAWN = (
    "A published lab is not withdrawn: students may already be working on it. Mend it and publish the mended "
    'lab with: course release LAB --erratum "what changed"'
)
DATES = (
    "Due dates stand in course.toml, and more time for one student is given with: course extend LAB STUDENT. "
    "Nothing was changed"
)
REPLACED = {
    handlers.FormgraderHandler,  # its `path` argument executes a configuration file
    handlers.SubmissionFilesHandler,  # serves any file below the course directory, the secret key among them
    handlers.Template404,  # matches everything, so it comes last
}


class DatesOfTheCourse(apihandlers.AssignmentHandler):  # type: ignore[misc]
    """`/formgrader/api/assignment/LAB`: to be read. nbgrader would store a due date that nothing else follows."""

    @web.authenticated
    def put(self, lab: str) -> None:
        """Say where the date stands."""
        self.set_status(403)
        self.write({"error": DATES})


MENDED = {
    apihandlers.GradeHandler: RecordedGrade,
    apihandlers.CommentHandler: RecordedComment,
    apihandlers.FlagSubmissionHandler: RecordedFlag,
    apihandlers.StudentHandler: RecordedStudent,
    apihandlers.AssignmentHandler: DatesOfTheCourse,
}
"""Handlers of nbgrader, and what stands in place of each."""


class Guarded:
    """Mixed into each of formgrader's handlers. Who may send the request was decided before it came here,
    see `autograder.service.identity`; here the page gets its policy."""

    def set_default_headers(self) -> None:
        """Jupyter Server's headers and the policy of this page."""
        super().set_default_headers()  # type: ignore[misc]
        self.set_header("Content-Security-Policy", policy(new_nonce()))  # type: ignore[attr-defined]
        self.set_header("Referrer-Policy", "same-origin")  # type: ignore[attr-defined]

    def on_finish(self) -> None:
        """End what the request read: PostgreSQL would keep its locks on the gradebook as long as the session."""
        super().on_finish()  # type: ignore[misc]
        gradebook = self.settings.get("nbgrader_gradebook")  # type: ignore[attr-defined]
        if gradebook is not None:
            gradebook.db.rollback()


class FrontPage(Guarded, BaseHandler):  # type: ignore[misc]
    """`/formgrader`: the list of labs."""

    @web.authenticated
    def get(self) -> None:
        """Redirect, whatever arguments came."""
        self.redirect(f"{self.base_url}/formgrader/manage_assignments")


class QueuePage(Guarded, BaseHandler):  # type: ignore[misc]
    """`/formgrader/queue`: every job with its state and what it said."""

    @web.authenticated
    def get(self) -> None:
        """The page; a script on it fills in the jobs."""
        self.write(self.render("queue.tpl", base_url=self.base_url))


class QueueHandler(Guarded, BaseApiHandler):  # type: ignore[misc]
    """`/formgrader/api/queue`: `jobs`, newest first, and whether an instructor asks."""

    @web.authenticated
    def get(self) -> None:
        """Answer in JSON."""
        role = role_of(self.current_user.hub_user.get("groups", []))
        self.write({"instructor": role is Role.INSTRUCTOR, "jobs": self.settings["course_queue"].view()})


class UtilsScript(web.RequestHandler):
    """nbgrader's utils.js with our scripts behind it: every page loads it, that of one submission too."""

    def get(self) -> None:
        """The script; it holds nothing secret."""
        self.set_header("Content-Type", "text/javascript")
        self.set_header("Cache-Control", "no-cache")
        # nbgrader's file ends in a function without a semicolon, which ours would call
        self.write((Path(handlers.static_path) / "js" / "utils.js").read_text("utf-8") + ";\n")
        for name in ("course.js", "accessible.js"):
            self.write((STATIC / name).read_text("utf-8"))


def queue_job(handler: Any, title: str, command: Sequence[str], lab: str, student: str = "") -> Job:
    """Queue a `course` command for whoever asks, and write that into the journal first.

    `{0}` in title and command is the lab, `{1}` the student. Raises HTTPError 503 when the queue is full,
    ReceiptError when the journal is damaged; then nothing was queued.
    """
    who = handler.current_user.username
    name = title.format(lab, student)
    note(served(), f"asked for: {name}", who=who, lab=lab, student=student)
    queue: JobQueue = handler.settings["course_queue"]
    try:
        return queue.add(name, [part.format(lab, student) for part in command], who)
    except QueueFull as error:
        raise web.HTTPError(503, str(error)) from error


class _Queued(Guarded, BaseApiHandler):  # type: ignore[misc]
    """A button of formgrader that starts long work: queue it and answer at once."""

    title = ""
    """What the job is called; `{0}` is the lab, `{1}` the student."""
    command: tuple[str, ...] = ()
    """Arguments of `course`, with the same places."""

    @web.authenticated
    def post(self, *names: str) -> None:
        """Queue the command. The answer has the fields that formgrader's scripts read."""
        if any(STUDENT.fullmatch(name) is None for name in names):
            raise web.HTTPError(400, "this is no name of a lab or student")
        try:
            job = queue_job(self, self.title, self.command, *names)
        except CourseError as error:
            self.write(json.dumps({"success": False, "error": str(error), "log": ""}))
            return
        before = self.settings["course_queue"].before(job)
        log = f"queued: {job.title}, {'starts now' if before == 0 else f'{before} before it'}"
        self.write(json.dumps({"success": True, "queued": job.number, "error": None, "log": log}))


def _queued(title: str, *command: str) -> type[_Queued]:
    return type("Queued", (_Queued,), {"title": title, "command": command})


class NotWithdrawn(Guarded, BaseApiHandler):  # type: ignore[misc]
    """The button that takes a released lab back."""

    @web.authenticated
    def post(self, *_: str) -> None:
        """Say why not."""
        self.write(json.dumps({"success": False, "error": NOT_WITHDRAWN, "log": ""}))


class NotFound(Guarded, BaseHandler):  # type: ignore[misc]
    """Everything else below `/formgrader`."""

    async def prepare(self) -> None:
        """404 for those who may be here."""
        await super().prepare()
        raise web.HTTPError(404)


_LAB = r"/formgrader/api/assignment/([^/]+)"
_STUDENT = r"/([^/]+)"
ROUTES: list[tuple[Any, ...]] = [
    (r"/formgrader/?", FrontPage),
    (r"/formgrader/queue/?", QueuePage),
    (r"/formgrader/api/queue", QueueHandler),
    (
        r"/formgrader/api/submission/([^/]+)/([^/]+)/autograde",
        _queued("grade {1}, {0}", "grade", "{0}", "--student", "{1}"),
    ),
    (f"{_LAB}/autograde", _queued("grade everyone, {0}", "grade", "{0}")),
    (f"{_LAB}/collect", _queued("collect {0}", "collect", "{0}")),
    (f"{_LAB}/assign", _queued("build {0}", "build", "{0}")),
    (f"{_LAB}/release", _queued("publish {0}", "release", "{0}")),
    (f"{_LAB}/unrelease", NotWithdrawn),
    (f"{_LAB}/generate_feedback", _queued("write feedback, {0}", "feedback", "{0}")),
    (f"{_LAB}/release_feedback", _queued("give feedback back, {0}", "feedback", "{0}", "--publish")),
    (
        f"{_LAB}{_STUDENT}/generate_feedback",
        _queued("write feedback for {1}, {0}", "feedback", "{0}", "--student", "{1}"),
    ),
    (
        f"{_LAB}{_STUDENT}/release_feedback",
        _queued("give feedback back to {1}, {0}", "feedback", "{0}", "--publish", "--student", "{1}"),
    ),
]


def guarded_routes() -> list[tuple[Any, ...]]:
    """Formgrader's routes below `/formgrader`, ours first, each with its handler guarded."""
    ours = {pattern for pattern, *_ in ROUTES}
    routes = list(ROUTES)
    for pattern, handler, *rest in [*handlers.default_handlers, *apihandlers.default_handlers]:
        if handler in REPLACED or pattern in ours:
            continue
        if issubclass(handler, BaseHandler):
            handler = type(handler.__name__, (Guarded, MENDED.get(handler, handler)), {})
        routes.append((pattern, handler, *rest))
    return routes


class CourseFormgrader(FormgradeExtension):  # type: ignore[misc]
    """Formgrader's settings and routes in a server application."""

    debug = False  # the page would show the whole configuration

    def init_tornado_settings(self, webapp: Any) -> None:
        """nbgrader's settings, with pages and exporter of this package."""
        super().init_tornado_settings(webapp)
        self.config.HTMLExporter.embed_images = False
        webapp.settings["nbgrader_jinja2_env"] = page_environment()
        webapp.settings["nbgrader_exporter"] = GradingPageExporter(config=self.config)

    def init_handlers(self, webapp: Any) -> None:
        """The guarded routes, the public scripts and styles, and 404 for the rest."""
        base = webapp.settings["base_url"].rstrip("/")
        routes = guarded_routes()
        routes += [
            (r"/formgrader/static/js/utils.js", UtilsScript),
            (r"/formgrader/static/(.*)", web.StaticFileHandler, {"path": handlers.static_path}),
            (r"/formgrader/course/(.*)", web.StaticFileHandler, {"path": str(STATIC)}),
            (r"/formgrader/.*", NotFound),
        ]
        webapp.add_handlers(".*$", [(base + pattern, *rest) for pattern, *rest in routes])
