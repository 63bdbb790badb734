"""Fixtures of the grader's tests: a PostgreSQL server of their own."""

from __future__ import annotations

from tests.postgresql import postgresql

__all__ = ["postgresql"]
