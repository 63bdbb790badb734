"""`python -m handin.service`: started by the Hub, which sets the variables of its services.

HANDIN_FOLDER is where hand-ins are kept, HANDIN_PUBLISHED the folder of released labs, HANDIN_COLLECTOR the
Hub's service that collects, HANDIN_TIME_ZONE the course's time zone. Optional are HANDIN_DATABASE, another
database than SQLite in that folder, HANDIN_FREE_BYTES, the space that is left free on the disk, and HANDIN_RATE,
requests a minute of one person.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.log import enable_pretty_logging
from tornado.web import Application, StaticFileHandler

from handin.errors import HandInError
from handin.published import Published
from handin.rate import Rate
from handin.service import api, collecting, pages
from handin.service.base import LAB, PERSON, SMALL_BYTES, State
from handin.store import FREE_BYTES, Store

IDENTITY_SECONDS = 30
"""How long the Hub's word about a token is believed without asking again."""
REQUESTS_A_MINUTE = 600
FINISH_SECONDS = 3
"""What is being answered has so long when the service is ended; the Hub waits no longer."""
BODY_SECONDS = 300
"""A hand-in that has not arrived by then is given up."""


def application(state: State, prefix: str) -> Application:
    """The addresses of the service below `prefix`, which begins and ends with a slash."""
    routes = [
        ("", pages.Labs),
        (f"labs/{LAB}", pages.OneLab),
        ("oauth_callback", pages.LoggedIn),
        ("api/openapi.json", api.Description),
        ("api/overview", api.Overview),
        (f"api/labs/{LAB}/package", api.LabPackage),
        (f"api/labs/{LAB}/attempts", api.HandIn),
        (f"api/labs/{LAB}/newest", collecting.Collection),
        (f"api/labs/{LAB}/deadline", collecting.LabDeadline),
        (r"api/attempts/(\d+)/package", api.AttemptPackage),
        (rf"api/attempts/(\d+)/feedback/{LAB}", api.FeedbackPage),
        (r"api/attempts/(\d+)/score", collecting.AttemptScore),
        ("api/requests", collecting.Requests),
        (r"api/requests/(\d+)/answer", collecting.Answer),
        (r"attempts/(\d+)/ask", pages.Ask),
        (f"api/students/{PERSON}", collecting.StudentData),
        ("api/.*", api.NoSuchAddress),
    ]
    return Application(
        [
            (rf"{prefix}static/(.*)", StaticFileHandler, {"path": str(pages.STATIC)}),
            *((f"{prefix}{pattern}", handler) for pattern, handler in routes),
            (r".*", pages.NoSuchPage),
        ],
        state=state,
        prefix=prefix,
        cookie_secret=os.urandom(32),
        compress_response=True,
    )


async def serve(state: State, prefix: str, address: str, port: int) -> None:
    """Answer until SIGTERM, then finish what is being answered."""
    server = HTTPServer(
        application(state, prefix), max_body_size=SMALL_BYTES, body_timeout=BODY_SECONDS, xheaders=True
    )
    server.listen(port, address)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    server.stop()
    deadline = time.monotonic() + FINISH_SECONDS
    while state.running and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await server.close_all_connections()


def main() -> None:
    """Read the environment and serve."""
    enable_pretty_logging()
    HubOAuth.instance().cache_max_age = IDENTITY_SECONDS
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    time_zone = os.environ.get("HANDIN_TIME_ZONE", "UTC")
    free_bytes = int(os.environ.get("HANDIN_FREE_BYTES") or FREE_BYTES)
    try:
        store = Store(
            Path(os.environ["HANDIN_FOLDER"]), os.environ.get("HANDIN_DATABASE", ""), free_bytes=free_bytes
        )
    except HandInError as error:
        sys.exit(f"error: {error}")
    published = Published(Path(os.environ["HANDIN_PUBLISHED"]))
    state = State(
        store,
        published,
        pages.page_environment(time_zone),
        os.environ["HANDIN_COLLECTOR"],
        Rate(int(os.environ.get("HANDIN_RATE") or REQUESTS_A_MINUTE), 60),
    )
    try:
        asyncio.run(
            serve(state, os.environ["JUPYTERHUB_SERVICE_PREFIX"], url.hostname or "127.0.0.1", url.port or 0)
        )
    finally:
        store.close()


if __name__ == "__main__":
    main()
