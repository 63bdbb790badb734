"""Direct requests to the course service and the Hub: what an assistant, a student and a stranger are refused."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
import requests
import websocket

from hub_config.running import RunningHub
from tests.hub.conftest import needs_root
from tests.hub.requests_as import Session

pytestmark = needs_root

LAB = "Lab-3.1-Post_Training_Quantization"
FORBIDDEN = [
    ("GET", "/api/contents"),
    ("GET", "/api/contents/build/course/secret.key"),
    ("PUT", "/api/contents/evil.py"),
    ("GET", "/files/source/README.md"),
    ("GET", "/api/kernels"),
    ("POST", "/api/kernels"),
    ("GET", "/api/kernelspecs"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("GET", "/api/terminals"),
    ("POST", "/api/terminals"),
    ("GET", "/terminals/websocket/1"),
    ("GET", "/api/config/notebook"),
    ("GET", "/api/status"),
    ("POST", "/api/shutdown"),
    ("GET", "/nbconvert/python/source/README.md"),
    ("GET", "/lab"),
    ("GET", "/tree"),
    ("GET", "/lab/api/settings"),
    ("PUT", "/lab/api/settings/@jupyterlab/apputils-extension:themes"),
    ("GET", "/lab/api/workspaces"),
    ("POST", "/lab/api/extensions"),
    ("GET", "/lsp/status"),
    ("GET", "/api/me"),
    ("POST", f"/formgrader/api/assignment/{LAB}/assign"),
    ("POST", f"/formgrader/api/assignment/{LAB}/release"),
    ("POST", f"/formgrader/api/assignment/{LAB}/unrelease"),
    ("PUT", f"/formgrader/api/assignment/{LAB}"),
    ("PUT", "/formgrader/api/student/somebody"),
    ("GET", "/formgrader/submissions/x/secret.key"),
    ("GET", "/formgrader/submissions/x/../../../secret.key"),
    ("GET", "/formgrader/unknown"),
]


@pytest.fixture(scope="module")
def session(hub: RunningHub) -> Callable[[str], Session]:
    """Sessions of people, each logged in once."""
    known: dict[str, Session] = {}

    def of(name: str) -> Session:
        if name not in known:
            known[name] = Session(hub, name)
        return known[name]

    return of


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
def test_an_assistant_is_refused(session: Callable[[str], Session], method: str, path: str) -> None:
    answer = session("ta1").send(method, path, json={})
    assert answer.status_code == 403, (answer.status_code, answer.text[:300])


@pytest.mark.parametrize("lab", ["%00", "--instance=x", "a%0Ab", "%2e%2e", "x" * 200, "*"])
def test_a_name_that_is_none_is_refused_before_it_is_queued(
    session: Callable[[str], Session], lab: str
) -> None:
    assert session("ta1").send("POST", f"/formgrader/api/assignment/{lab}/collect").status_code in (
        400,
        403,
        404,
    )


def test_an_assistant_may_look_and_grade(session: Callable[[str], Session]) -> None:
    for path in ("/formgrader/manage_assignments", "/formgrader/api/assignments", "/formgrader/api/queue"):
        assert session("ta1").send("GET", path).status_code == 200
    assert session("ta1").send("GET", "/formgrader/api/queue").json()["instructor"] is False


def test_an_instructor_has_kernels_terminals_and_files(session: Callable[[str], Session]) -> None:
    instructor = session("instructor1")
    for path in ("/api/contents", "/api/kernels", "/api/terminals", "/api/sessions", "/lab"):
        assert instructor.send("GET", path).status_code == 200, path
    assert instructor.send("GET", "/formgrader/api/queue").json()["instructor"] is True


@pytest.mark.parametrize("path", ["/", "/formgrader/", "/formgrader/api/students", "/api/contents", "/lab"])
def test_a_student_is_refused_everything(session: Callable[[str], Session], path: str) -> None:
    assert session("student1").send("GET", path).status_code in (302, 403)
    followed = requests.get  # a stranger's redirect must not become a page either
    assert (
        "formgrader"
        not in followed(session("student1").hub.url + "/services/course" + path).text.split("<title>")[0]
    )


@pytest.mark.parametrize(
    "path", ["/formgrader/api/students", "/api/contents", "/api/terminals", "/formgrader/queue"]
)
def test_a_stranger_is_sent_to_the_login(hub: RunningHub, path: str) -> None:
    answer = requests.get(f"{hub.url}/services/course{path}", allow_redirects=False)
    assert answer.status_code in (302, 403)
    assert "secret" not in answer.text


def test_a_websocket_of_an_assistant_is_refused(session: Callable[[str], Session]) -> None:
    ta = session("ta1")
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in ta.http.cookies)
    for path in (
        "/terminals/websocket/1",
        "/api/kernels/x/channels",
        "/api/events/subscribe",
        "/lsp/ws/pylsp",
    ):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(
                f"{ta.hub.url.replace('http', 'ws')}/services/course{path}", cookie=cookies, origin=ta.hub.url
            )
        assert refused.value.status_code == 403, path


def test_without_the_pages_token_nothing_is_changed(session: Callable[[str], Session]) -> None:
    """What if another site's page sends a form to the course service?"""
    ta = session("ta1")
    url = f"{ta.hub.url}/services/course/formgrader/api/assignment/{LAB}/collect"
    for headers in ({}, {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}):
        assert ta.http.post(url, headers=headers, allow_redirects=False).status_code in (302, 403)


def test_the_path_argument_of_formgrader_reads_no_configuration(
    session: Callable[[str], Session], hub: RunningHub
) -> None:
    trap = hub.home("ta1") / "nbgrader_config.py"
    trap.write_text(f"open({str(hub.state / 'exchange' / 'trap')!r}, 'w').write('executed')\n")
    trap.chmod(0o644)
    for name in ("ta1", "instructor1"):
        answer = session(name).send("GET", f"/formgrader/?path={trap.parent}")
        assert answer.status_code == 302 and answer.headers["Location"].endswith(
            "/formgrader/manage_assignments"
        )
    assert not (hub.state / "exchange" / "trap").exists()


def test_pages_carry_their_policy(session: Callable[[str], Session]) -> None:
    for path in (
        "/formgrader/manage_assignments",
        "/formgrader/queue",
        f"/formgrader/manage_submissions/{LAB}",
    ):
        answer = session("instructor1").send("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        nonce = policy.split("'nonce-")[1].split("'")[0]
        assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
        assert answer.text.count("<script") == answer.text.count(f'<script nonce="{nonce}"') > 3
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_server_token_cannot_do_more_than_report_activity_and_hand_in(
    session: Callable[[str], Session], hub: RunningHub
) -> None:
    """The token in a student's own server: no `inherit`, so neither the course service nor other users."""
    student = session("student1")
    page = student.http.get(f"{hub.url}/hub/spawn/{hub.prefix}student1")
    assert page.status_code == 200
    token = server_token(hub, "student1")
    answer = requests.get(f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"})
    scopes = answer.json()["scopes"]
    assert "inherit" not in scopes
    wide = [
        scope
        for scope in scopes
        if not scope.endswith((f"!server={hub.prefix}student1/", f"!user={hub.prefix}student1"))
    ]
    assert wide == ["access:services!service=handin"]
    assert {scope.split("!")[0] for scope in scopes} <= {
        "access:servers", "access:services", "users:activity", "read:users:name", "read:users:groups",
        "read:users:activity",
    }  # fmt: skip
    for path in ("/hub/api/users", "/hub/api/services/course", "/services/course/formgrader/api/students"):
        refused = requests.get(
            hub.url + path, headers={"Authorization": f"token {token}"}, allow_redirects=False
        )
        assert refused.status_code in (302, 403, 404), (path, refused.status_code)


def server_token(hub: RunningHub, name: str) -> str:
    """The token of a person's running server, read from its environment as that person can."""

    for process in psutil.process_iter():
        if process.username() == hub.prefix + name and "jupyterhub-singleuser" in " ".join(process.cmdline()):
            return process.environ()["JUPYTERHUB_API_TOKEN"]
    raise AssertionError(f"no server of {name} is running")


def test_an_instructor_sees_who_is_there_without_entering_their_servers(
    session: Callable[[str], Session], hub: RunningHub
) -> None:
    instructor = session("instructor1")
    assert instructor.http.get(f"{hub.url}/hub/admin").status_code == 200
    entered = instructor.http.get(f"{hub.url}/user/{hub.prefix}student1/api/contents")
    assert entered.status_code in (403, 404)
    assert session("ta1").http.get(f"{hub.url}/hub/admin").status_code == 403
