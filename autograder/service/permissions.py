"""Who may send which request to the course service. What is not listed here only an instructor may do.

An instructor is trusted with the course's account: kernels, terminals and files of the service are
theirs. A teaching assistant grades: formgrader's pages and the actions of grading, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

INSTRUCTORS = "instructors"
ASSISTANTS = "assistants"
STUDENTS = "students"
"""Names of the Hub's groups."""

INSTANCE_VARIABLE = "COURSE_INSTANCE"
"""Environment variable with the folder of the instance that is served."""


class Role(StrEnum):
    """What somebody is to the course service."""

    INSTRUCTOR = "instructor"
    ASSISTANT = "assistant"


_SEGMENT = r"[^/]+"
# by method, below the service's base address; docs/roles.md has a row for each that changes something
ASSISTANT_ROUTES = {
    "GET": [
        "",
        "/manage_assignments",
        f"/manage_submissions/{_SEGMENT}",
        "/gradebook",
        f"/gradebook/{_SEGMENT}",
        f"/gradebook/{_SEGMENT}/{_SEGMENT}",
        "/manage_students",
        f"/manage_students/{_SEGMENT}",
        f"/manage_students/{_SEGMENT}/{_SEGMENT}",
        f"/submissions/{_SEGMENT}",
        f"/submissions/{_SEGMENT}/(next|prev|next_incorrect|prev_incorrect)",
        "/queue",
        "/class",
        f"/statistics/{_SEGMENT}",
        "/people",
        "/requests",
        "/changes",
        "/similar",
        f"/similar/{_SEGMENT}/{_SEGMENT}/{_SEGMENT}/{_SEGMENT}",
        "/journal",
        "/api/queue",
        "/api/status",
        "/api/assignments",
        f"/api/assignment/{_SEGMENT}",
        f"/api/notebooks/{_SEGMENT}",
        f"/api/submissions/{_SEGMENT}",
        f"/api/submission/{_SEGMENT}/{_SEGMENT}",
        f"/api/submitted_notebooks/{_SEGMENT}/{_SEGMENT}",
        "/api/grades",
        f"/api/grade/{_SEGMENT}",
        "/api/comments",
        f"/api/comment/{_SEGMENT}",
        "/api/students",
        f"/api/student/{_SEGMENT}",
        f"/api/student_submissions/{_SEGMENT}",
        f"/api/student_notebook_submissions/{_SEGMENT}/{_SEGMENT}",
    ],
    "PUT": [f"/api/grade/{_SEGMENT}", f"/api/comment/{_SEGMENT}"],
    "POST": [
        f"/api/assignment/{_SEGMENT}/(collect|autograde|generate_feedback|release_feedback)",
        f"/api/assignment/{_SEGMENT}/{_SEGMENT}/(generate_feedback|release_feedback)",
        f"/api/submission/{_SEGMENT}/{_SEGMENT}/autograde",
        f"/api/submitted_notebook/{_SEGMENT}/flag",
        f"/requests/{_SEGMENT}",
        f"/changes/{_SEGMENT}",
        f"/similar/{_SEGMENT}",
    ],
}
_COMPILED = {
    method: re.compile("|".join(["/", *(f"(?:/formgrader{route}/?)" for route in routes)]))
    for method, routes in ASSISTANT_ROUTES.items()
}


def role_of(groups: Collection[str]) -> Role | None:
    """The role that a Hub user's groups give; None for everybody else, students among them."""
    if INSTRUCTORS in groups:
        return Role.INSTRUCTOR
    return Role.ASSISTANT if ASSISTANTS in groups else None


def may_request(role: Role | None, method: str, path: str) -> bool:
    """Whether a request is allowed. `path` is undecoded and relative to the service's base URL, with its slash."""
    if role is Role.INSTRUCTOR:
        return True
    if role is None:
        return False
    routes = _COMPILED.get("GET" if method == "HEAD" else method)
    return routes is not None and routes.fullmatch(path) is not None
