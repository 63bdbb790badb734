"""HTTP requests as a logged-in person sends them, without a browser."""

from __future__ import annotations

import json
import time

import requests
import websocket

from tests.hub.running import RunningHub


class Session:
    """A person's session with the Hub and the course service."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        self.hub = hub
        self.http = requests.Session()
        login = f"{hub.url}/hub/login"
        self.http.get(login)
        form = {"username": hub.prefix + name, "password": hub.passwords[hub.prefix + name]}
        form["_xsrf"] = self.cookie("/hub/")
        self.http.post(login, data=form, allow_redirects=False).raise_for_status()
        # goes through the Hub's OAuth and leaves the service's cookies
        self.http.get(f"{hub.url}/services/course/formgrader/api/status")

    def send(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request to the course service with everything that a page's script would send."""
        headers = {"X-XSRFToken": self.cookie("/services/course/"), "Sec-Fetch-Mode": "cors"}
        headers |= {"Sec-Fetch-Site": "same-origin"}
        url = f"{self.hub.url}/services/course{path}"
        return self.http.request(method, url, headers=headers, allow_redirects=False, **options)  # type: ignore[arg-type]

    def cookie(self, path: str) -> str:
        values = [
            cookie.value for cookie in self.http.cookies if cookie.name == "_xsrf" and cookie.path == path
        ]
        return values[0] or "" if values else ""


def run_in_kernel(session: Session, name: str, code: str, seconds: float = 60) -> str:
    """Start a person's server and a kernel in it, run code there, return what it printed."""
    hub = session.hub
    user = f"{hub.url}/user/{hub.prefix}{name}"
    session.http.get(f"{hub.url}/hub/spawn/{hub.prefix}{name}")
    deadline = time.monotonic() + seconds
    # a page, because the Hub's login is gone through for pages only
    while not session.http.get(f"{user}/lab").url.startswith(f"{user}/lab"):
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.5)
    headers = {"X-XSRFToken": session.cookie(f"/user/{hub.prefix}{name}/")}
    kernel = session.http.post(f"{user}/api/kernels", json={"name": "python3"}, headers=headers)
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
