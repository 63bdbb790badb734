"""nginx as the deployment has it, on loopback ports, with a certificate for *.course.test that is made here."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub_config.server import render
from hub_config.server.settings import Settings

MAIN = """daemon off; master_process on; {user} worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/site;
}}
"""


def needs_nginx() -> str:
    """The program; the test is skipped where it is not installed."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed: as root, apt-get install -y nginx-light")
    return found


def certificate(folder: Path) -> None:
    """`tls.crt` and `tls.key` for course.test and every name below it."""
    options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=course.test"]
    names = ["-addext", "subjectAltName=DNS:course.test,DNS:*.course.test"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(["openssl", *options, *names, *files], check=True, capture_output=True)


def write_site(settings: Settings, folder: Path, http: int, https: int) -> Path:
    """The site and a main configuration around it; returns the latter."""
    folder.mkdir(exist_ok=True)
    given = render.values(settings, http=f"127.0.0.1:{http}", https=f"127.0.0.1:{https}")
    (folder / "site").write_text(render.nginx(given), "utf-8")
    main = folder / "nginx.conf"
    main.write_text(MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""), "utf-8")
    return main


@contextmanager
def running(settings: Settings, folder: Path, http: int, https: int) -> Iterator[None]:
    """nginx, until the block ends."""
    program = needs_nginx()
    main = write_site(settings, folder, http, https)
    process = subprocess.Popen(
        [program, "-e", f"{folder}/error.log", "-c", str(main)], stdin=subprocess.DEVNULL, cwd=folder
    )
    try:
        wait_for(https, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Until something listens on the port."""
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None and time.monotonic() < deadline, f"nothing listens on port {port}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def context(folder: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What a browser trusts that knows the certificate."""
    trusting = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    trusting.maximum_version = newest
    return trusting


def ask(folder: Path, port: int, host: str, request: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Send a request as `host` and return the connection."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    secure = context.wrap_socket(plain, server_hostname=host)
    secure.sendall(request.replace("\n", "\r\n").encode())
    return secure
