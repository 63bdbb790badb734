"""HTTP requests as a logged-in person sends them, without a browser."""

from __future__ import annotations

import json

import requests
import websocket

from hub_config.person import Person
from hub_config.running import RunningHub


class Session(Person):
    """A person who has also entered the course service."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        super().__init__(hub, name)
        # goes through the Hub's OAuth and leaves the service's cookies
        self.enter("/services/course/formgrader/api/status")

    def send(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request to the course service with everything that a page's script would send."""
        return self.ask(method, f"/services/course{path}", **options)


def run_in_kernel(session: Session, name: str, code: str, seconds: float = 60) -> str:
    """Start a person's server and a kernel in it, run code there, return what it printed."""
    hub = session.hub
    user = f"{hub.url}/user/{hub.prefix}{name}"
    session.start_server(seconds)
    kernel = session.ask("POST", f"{session.server}/api/kernels", json={"name": "python3"})
    kernel.raise_for_status()
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.http.cookies)
    address = f"{user.replace('http', 'ws', 1)}/api/kernels/{kernel.json()['id']}/channels"
    channel = websocket.create_connection(address, cookie=cookies, origin=hub.url, timeout=seconds)
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }
    header = {
        "msg_id": "1",
        "msg_type": "execute_request",
        "username": "",
        "session": "1",
        "date": "",
        "version": "5.3",
    }
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channel.send(json.dumps(request))
    printed = ""
    while True:
        message = json.loads(channel.recv())
        if message["parent_header"].get("msg_id") != "1":
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        if message["msg_type"] == "error":
            printed += message["content"]["ename"]
        # the reply may overtake what was printed; idle comes last on the channel of outputs
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            channel.close()
            return printed
