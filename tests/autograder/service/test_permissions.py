"""Who may send which request: what is not listed is refused, whatever it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.service.formgrader import REPLACED, Guarded, guarded_routes
from autograder.service.permissions import Role, may_request, role_of

STAFF_ONLY = [
    ("POST", "/formgrader/api/assignment/Lab-3.1/assign"),
    ("POST", "/formgrader/api/assignment/Lab-3.1/release"),
    ("POST", "/formgrader/api/assignment/Lab-3.1/unrelease"),
    ("PUT", "/formgrader/api/assignment/Lab-3.1"),
    ("PUT", "/formgrader/api/student/student1"),
    ("GET", "/api/contents"),
    ("GET", "/api/kernels"),
    ("POST", "/api/kernels"),
    ("GET", "/api/kernels/1/channels"),
    ("GET", "/api/sessions"),
    ("POST", "/api/terminals"),
    ("GET", "/terminals/websocket/1"),
    ("GET", "/files/build/course/secret.key"),
    ("GET", "/lab"),
    ("PUT", "/lab/api/settings/@jupyterlab/apputils-extension:themes"),
    ("GET", "/nbconvert/html/source/x.ipynb"),
    ("POST", "/api/shutdown"),
    ("GET", "/formgrader/submissions/1/../../../secret.key"),
    ("GET", "/formgrader/submissions/1/secret.key"),
    ("DELETE", "/formgrader/api/grade/1"),
]


@pytest.mark.parametrize(("method", "path"), STAFF_ONLY)
def test_an_assistant_may_not(method: str, path: str) -> None:
    assert not may_request(Role.ASSISTANT, method, path)
    assert may_request(Role.INSTRUCTOR, method, path)
    assert not may_request(None, method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/formgrader/"),
        ("HEAD", "/formgrader/manage_assignments"),
        ("GET", "/formgrader/submissions/98fd/"),
        ("GET", "/formgrader/submissions/98fd/next"),
        ("PUT", "/formgrader/api/grade/98fd"),
        ("POST", "/formgrader/api/assignment/Lab-3.1/collect"),
        ("POST", "/formgrader/api/assignment/Lab-3.1/student1/release_feedback"),
        ("POST", "/formgrader/api/submission/Lab-3.1/student1/autograde"),
    ],
)
def test_an_assistant_may(method: str, path: str) -> None:
    assert may_request(Role.ASSISTANT, method, path)
    assert not may_request(None, method, path)


@given(st.text(alphabet="/.%aformgraderpi_0\n", max_size=60))
def test_nothing_outside_formgrader_is_for_assistants(tail: str) -> None:
    path = "/" + tail
    if may_request(Role.ASSISTANT, "GET", path):
        assert path == "/" or path.startswith("/formgrader")
        assert ".." not in path.split("/") or "/api/" in path or "/gradebook/" in path or "/manage_" in path


@given(st.sampled_from(["PATCH", "DELETE", "OPTIONS", "CONNECT", "get", ""]), st.text(max_size=30))
def test_other_methods_are_refused(method: str, path: str) -> None:
    assert not may_request(Role.ASSISTANT, method, "/formgrader" + path)


def test_an_instructor_among_the_assistants_is_an_instructor() -> None:
    assert role_of(["assistants", "instructors"]) is Role.INSTRUCTOR
    assert role_of(["students", "assistants"]) is Role.ASSISTANT
    assert role_of(["students"]) is None and role_of([]) is None


def test_every_route_of_formgrader_is_guarded_and_two_are_gone() -> None:
    for pattern, handler, *_ in guarded_routes():
        if "components" not in pattern and "fonts" not in pattern:
            assert issubclass(handler, Guarded), pattern
        assert not set(handler.__mro__) & REPLACED, pattern
