"""Builds the labs from their source, grades hand-ins, reports, and tests its own tests."""
