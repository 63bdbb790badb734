"""Tests of the tests: the reference scores all, the untouched release nothing, mutants die."""
