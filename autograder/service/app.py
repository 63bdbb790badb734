"""The server of the course service: Jupyter Server behind the Hub, guarded, with formgrader and the queue."""

from __future__ import annotations

import os
from pathlib import Path

from jupyterhub.singleuser.extension import JupyterHubSingleUser

from autograder.course import Instance
from autograder.handin import remember_service
from autograder.service.class_pages import ClassPage, StatisticsPage
from autograder.service.formgrader import CourseFormgrader
from autograder.service.identity import CourseAuthorizer, CourseIdentityProvider
from autograder.service.permissions import INSTANCE_VARIABLE
from autograder.service.queue import JobQueue

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
        instance = Instance(Path(os.environ[INSTANCE_VARIABLE]))
        if HANDIN_URL in os.environ:
            remember_service(instance, os.environ[HANDIN_URL], os.environ["JUPYTERHUB_API_TOKEN"])
        self.queue = JobQueue(instance.root / "queue.json")
        if HANDIN_URL in os.environ:
            self.queue.add("tell the deadlines", ["deadlines", "--wait", "60"], "the course")
        app.web_app.settings["course_queue"] = self.queue
        base = app.web_app.settings["base_url"].rstrip("/")
        # before formgrader's, whose last pattern takes everything
        app.web_app.add_handlers(
            ".*$",
            [
                (f"{base}/formgrader/class/?", ClassPage),
                (f"{base}/formgrader/statistics/([^/]+)", StatisticsPage),
            ],
        )
        formgrader = CourseFormgrader(parent=app)
        formgrader.root_dir = app.root_dir
        formgrader.log = app.log
        formgrader.initialize([])
        formgrader.init_tornado_settings(app.web_app)
        formgrader.init_handlers(app.web_app)

    async def _start_jupyter_server_extension(self, serverapp: object) -> None:
        self.queue.start()

    async def stop_extension(self) -> None:
        """End the running job; it stays in the queue."""
        await super().stop_extension()
        await self.queue.stop()
