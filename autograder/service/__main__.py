"""`python -m autograder.service`: started by the Hub, never by hand."""

from __future__ import annotations

from autograder.service.app import CourseService

CourseService.launch_instance()
