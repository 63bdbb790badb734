"""Does the real nginx with this configuration encrypt, redirect, keep names apart and carry websockets?"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from autograder.course import ROOT
from hub_config.ports import free_ports
from tests.hub.server import front
from tests.hub.server.deployment import Deployment

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers it got; takes a websocket upgrade and sends one line back as it came."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet an answer

    def do_GET(self) -> None:
        """A page, or a websocket."""
        if self.headers.get("Upgrade", "").lower() == "websocket":
            digest = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
            self.end_headers()
            self.wfile.flush()
            self.wfile.write(self.connection.recv(100))
            self.close_connection = True
            return
        self._answer()

    def do_POST(self) -> None:
        """Read and count the body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(length=len(body))

    def _answer(self, **more: Any) -> None:
        text = json.dumps({"path": self.path, **dict(self.headers.items()), **more}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, int]]:
    """nginx in front of the echo: folder, port of http, port of https."""
    front.needs_nginx()
    folder = tmp_path_factory.mktemp("nginx")
    deployment = Deployment(folder)
    shutil.copytree(ROOT / "hub_config" / "proxy" / "pages", folder / "proxy" / "pages")  # as `install` does
    front.certificate(folder)
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    http, https = free_ports(2)
    ports = dataclasses.replace(deployment.settings.ports, proxy=backend.server_address[1])
    settings = dataclasses.replace(deployment.settings, ports=ports)
    with front.running(settings, folder / "nginx", http, https):
        yield folder, http, https
    backend.shutdown()
    backend.server_close()


def get(
    place: tuple[Path, int, int], host: str, path: str = "/", more: str = "", body: str = ""
) -> tuple[str, str]:
    """Status line with headers, and body, of a request over TLS."""
    folder, _, https = place
    method = "POST" if body else "GET"
    length = f"Content-Length: {len(body)}\n" if body else ""
    request = f"{method} {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}{length}\n{body}"
    with front.ask(folder, https, host, request, front.context(folder)) as secure:
        answer = b""
        while part := secure.recv(65536):
            answer += part
    head, _, text = answer.decode().partition("\r\n\r\n")
    return head, text


def test_nginx_accepts_the_configuration_as_installed(deployment: Deployment, tmp_path: Path) -> None:
    program = front.needs_nginx()
    front.certificate(tmp_path)
    main = front.write_site(deployment.settings, tmp_path / "nginx", *free_ports(2))
    done = subprocess.run([program, "-t", "-e", "/dev/null", "-c", str(main)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr


def test_every_name_reaches_the_proxy_with_its_own_host(place: tuple[Path, int, int]) -> None:
    for host in ("course.test", "ada.course.test", "course--service.course.test"):
        head, text = get(place, host)
        assert head.startswith("HTTP/1.1 200"), head
        assert json.loads(text)["Host"] == host


def test_claims_of_a_client_about_itself_are_dropped(place: tuple[Path, int, int]) -> None:
    lies = "X-Forwarded-For: 10.9.8.7\nX-Forwarded-Proto: http\nX-Real-IP: 10.9.8.7\nX-Forwarded-Host: evil.test\n"
    seen = json.loads(get(place, "ada.course.test", more=lies)[1])
    assert seen["X-Forwarded-For"] == seen["X-Real-IP"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "https"
    assert seen["X-Forwarded-Host"] == "ada.course.test"


def test_browser_is_told_to_stay_with_https(place: tuple[Path, int, int]) -> None:
    head, _ = get(place, "course.test")
    assert "Strict-Transport-Security: max-age=31536000; includeSubDomains" in head
    assert "nginx/" not in head


def test_what_is_far_too_large_is_told_before_it_is_sent(place: tuple[Path, int, int]) -> None:
    folder, _, https = place
    request = "POST /services/handin/labs/LAB HTTP/1.1\nHost: course.test\nContent-Length: 5368709120\n"
    with front.ask(
        folder, https, "course.test", request + "Connection: close\n\n", front.context(folder)
    ) as secure:
        answer = secure.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413") and "A hand-in is at most 100 MiB" in answer


def test_http_is_redirected(place: tuple[Path, int, int]) -> None:
    _, http, https = place
    with socket.create_connection(("127.0.0.1", http), timeout=20) as plain:
        plain.sendall(b"GET /hub/login?next=x HTTP/1.1\r\nHost: ada.course.test\r\nConnection: close\r\n\r\n")
        answer = plain.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 301")
    assert f"Location: https://ada.course.test:{https}/hub/login?next=x" in answer


def test_other_names_get_no_answer(place: tuple[Path, int, int]) -> None:
    folder, _, https = place
    for host in ("evil.test", "course.test.evil.test"):
        with pytest.raises(ssl.SSLError):
            front.ask(folder, https, host, "", front.context(folder))


def test_old_tls_is_refused(place: tuple[Path, int, int]) -> None:
    folder, _, https = place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = front.context(folder, ssl.TLSVersion.TLSv1_1)
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(ssl.SSLError):
        front.ask(folder, https, "course.test", "", old)
    newer = front.context(folder, ssl.TLSVersion.TLSv1_2)
    with front.ask(folder, https, "course.test", "", newer) as secure:
        assert secure.version() == "TLSv1.2"


def test_websocket_passes_and_echoes(place: tuple[Path, int, int]) -> None:
    folder, _, https = place
    host, key = "ada.course.test", base64.b64encode(b"0123456789abcdef").decode()
    request = f"GET /api/kernels/1/channels HTTP/1.1\nHost: {host}\nUpgrade: websocket\nConnection: Upgrade\n"
    request += f"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: {key}\n\n"
    with front.ask(folder, https, host, request, front.context(folder)) as secure:
        stream = secure.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.readline()
        assert head.startswith(b"HTTP/1.1 101"), head
        expected = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())
        assert b"Sec-WebSocket-Accept: " + expected in head
        frame = b"\x81\x85\x00\x00\x00\x00hello"
        secure.sendall(frame)
        assert stream.read(len(frame)) == frame


def test_notebook_with_pictures_is_not_too_large(place: tuple[Path, int, int]) -> None:
    head, text = get(place, "ada.course.test", body="x" * (20 << 20))
    assert head.startswith("HTTP/1.1 200"), head
    assert json.loads(text)["length"] == 20 << 20


def test_guessing_passwords_is_slowed_down_and_a_class_is_not(place: tuple[Path, int, int]) -> None:
    """100 people log in at the same moment from one address; a machine that goes on is stopped."""
    folder, _, https = place
    one = HTTPSConnection("course.test", context=front.context(folder))
    one.sock = front.ask(folder, https, "course.test", "", front.context(folder))

    def code(method: str, path: str = "/hub/login") -> int:
        one.request(method, path, body=b"x" if method == "POST" else None)
        answer = one.getresponse()
        answer.read()
        return answer.status

    assert {code("POST") for _ in range(100)} == {200}
    assert any(code("POST") == 429 for _ in range(400))
    launches = (code("POST", "/hub/lti13/oauth_callback") for _ in range(20))
    assert 429 in launches, "tokens of a platform are counted with them"
    assert code("GET") == 200, "reading the page is free"
    one.close()
