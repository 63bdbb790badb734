"""course.toml: labs are found by the start of their names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autograder.course import load_course
from autograder.errors import ConfigurationError


def test_a_lab_is_not_taken_for_one_with_a_longer_number() -> None:
    course = load_course()
    ids = ("Lab-3.1-First", "Lab-3.10-Tenth", "Lab-3.11-Eleventh")
    course = replace(course, labs=tuple(replace(course.labs[0], id=lab) for lab in ids))
    for name, expected in (("Lab-3.1", 0), ("Lab-3.10", 1), ("Lab-3.11-Eleventh", 2), ("Lab-3.1-F", 0)):
        assert course.lab(name).id == ids[expected]
    for name in ("Lab-3", "Lab-3.1-G", "Lab-4"):
        with pytest.raises(ConfigurationError, match="unknown lab"):
            course.lab(name)
