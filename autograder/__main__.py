"""`python -m autograder` is `course`."""

from __future__ import annotations

from autograder.cli import main

main()
