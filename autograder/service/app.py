"""The server of the course service: Jupyter Server behind the Hub, guarded, with formgrader and the queue."""

from __future__ import annotations

import os

from jupyterhub.singleuser.extension import JupyterHubSingleUser

from autograder.handin import remember_service
from autograder.service.class_pages import ClassPage, PeoplePage, PersonForm, StatisticsPage
from autograder.service.formgrader import CourseFormgrader
from autograder.service.grading_pages import (
    AnswerForm,
    ChangesPage,
    CompareForm,
    JournalPage,
    PairPage,
    RegradeForm,
    RequestsPage,
    SimilarPage,
)
from autograder.service.identity import CourseAuthorizer, CourseIdentityProvider
from autograder.service.queue import JobQueue
from autograder.service.release_clock import ReleaseClock
from autograder.service.served import served

_NAME = "([^/]+)"
PAGES = [
    ("class/?", ClassPage),
    (f"statistics/{_NAME}", StatisticsPage),
    ("people/?", PeoplePage),
    (f"people/{_NAME}", PersonForm),
    ("requests/?", RequestsPage),
    (f"requests/{_NAME}", AnswerForm),
    ("changes/?", ChangesPage),
    (f"changes/{_NAME}", RegradeForm),
    ("similar/?", SimilarPage),
    (f"similar/{_NAME}", CompareForm),
    (f"similar/{_NAME}/{_NAME}/{_NAME}/{_NAME}", PairPage),
    ("journal/?", JournalPage),
]
"""The staff's own pages, by their address below `/formgrader/`."""
HANDIN_URL = "HANDIN_URL"
"""Environment variable with the address of the hand-in service, if there is one."""


class CourseService(JupyterHubSingleUser):  # type: ignore[misc]
    """JupyterHub's single-user server, shared by the staff under the course's own account."""

    @classmethod
    def get_extension_package(cls) -> str:
        """This package, not all of `autograder`."""
        return "autograder.service"

    def load_config_file(self) -> None:
        """The Hub's configuration, then the two walls, so that no file can take them away."""
        super().load_config_file()
        server = self.config.ServerApp
        server.identity_provider_class = CourseIdentityProvider
        server.authorizer_class = CourseAuthorizer
        server.allow_unauthenticated_access = False
        self.serverapp.update_config(self.config)

    def initialize(self, args: list[str] | None = None) -> None:
        """Add formgrader and the queue to the server that the Hub's extension set up."""
        super().initialize(args)
        app = self.serverapp
        # formgrader is shown in a frame inside Lab, which comes from this same server
        app.web_app.settings["headers"]["Content-Security-Policy"] = "frame-ancestors 'self'"
        instance = served()
        if HANDIN_URL in os.environ:
            remember_service(instance, os.environ[HANDIN_URL], os.environ["JUPYTERHUB_API_TOKEN"])
        self.queue = JobQueue(instance.root / "queue.json")
        self.clock = ReleaseClock(instance, self.queue)
        if HANDIN_URL in os.environ:
            self.queue.add("tell the deadlines", ["deadlines", "--wait", "60"], "the course")
        app.web_app.settings["course_queue"] = self.queue
        base = app.web_app.settings["base_url"].rstrip("/")
        # before formgrader's, whose last pattern takes everything
        app.web_app.add_handlers(
            ".*$",
            [(f"{base}/formgrader/{pattern}", page) for pattern, page in PAGES],
        )
        formgrader = CourseFormgrader(parent=app)
        formgrader.root_dir = app.root_dir
        formgrader.log = app.log
        formgrader.initialize([])
        formgrader.init_tornado_settings(app.web_app)
        formgrader.init_handlers(app.web_app)

    async def _start_jupyter_server_extension(self, serverapp: object) -> None:
        self.queue.start()
        self.clock.start()

    async def stop_extension(self) -> None:
        """End the running job; it stays in the queue."""
        await super().stop_extension()
        await self.clock.stop()
        await self.queue.stop()
