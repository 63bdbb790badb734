# Everything a person or CI runs. `make help` lists the targets.
SHELL := /bin/bash
COURSE := .venv-staff/bin/course
PYTHON := .venv-staff/bin/python
SYSTEM_PYTHON := $(shell command -v /usr/bin/python3.11 || command -v python3.11 || command -v python3)
export OMP_NUM_THREADS ?= 1

.PHONY: help setup setup-tests demo hub test nightly check format build bench results lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## set up the two environments (a second run installs nothing)
	@$(SYSTEM_PYTHON) scripts/setup.py

setup-tests:  ## the same, with the tools of check and test
	@$(SYSTEM_PYTHON) scripts/setup.py --tests

demo: setup  ## a semester in miniature: build, release, hand in, grade, feedback (ARGS=... passes options)
	@$(COURSE) demo $(ARGS)

hub: setup  ## serve the course at http://127.0.0.1:8000 until Ctrl-C (ARGS=... passes options)
	@$(PYTHON) -m hub_config.local $(ARGS)

test: setup-tests  ## every test: two at a time, then those of the Hub, which need the machine to themselves
	@$(PYTHON) -m pytest -m "not nightly and not hub" -n 2 --dist worksteal; first=$$?; \
	$(PYTHON) -m pytest -m "hub and not nightly"; exit $$((first + $$?))

nightly: setup-tests  ## the tests that are too slow for every day
	@$(PYTHON) -m pytest -m nightly -n 2 --dist worksteal --timeout 3600

check: setup-tests  ## lint, format, types, imports between rooms, stale release, asset licences
	@$(PYTHON) scripts/check.py

format: setup-tests  ## rewrite the code in the project's format
	@.venv-staff/bin/ruff check --fix --quiet . ; .venv-staff/bin/ruff format .

build: setup  ## build the release from the source (LAB=... for one lab)
	@$(COURSE) build $(LAB)

bench: setup  ## grade 40 hand-ins beside plain nbgrader, an hour or more (ARGS=... passes options)
	@$(COURSE) bench grade $(ARGS)

results: setup  ## measure what the course promises and write docs/results.md and .html (ARGS=... passes options)
	@$(COURSE) results $(ARGS)

lock: setup-tests  ## write requirements/*.lock from what .venv-staff holds
	@$(PYTHON) scripts/lock.py

clean:  ## remove what the targets above created, environments included
	@$(SYSTEM_PYTHON) scripts/clean.py
