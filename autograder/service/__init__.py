"""The course service: nbgrader's formgrader for staff, behind the Hub, with the judge behind every button."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds this extension."""
    from autograder.service.app import CourseService

    return [{"module": "autograder.service", "app": CourseService}]
