# Every verb of this project. Needs Python 3.11 or newer and a make (GNU 3.81 will
# do); everything that is installed goes into .venv. Without make, on Windows say:
#
#   py -m venv .venv
#   .venv\Scripts\python -m pip install -r requirements.lock
#   .venv\Scripts\python -m pip install --no-deps --no-build-isolation -e .
#   .venv\Scripts\gateway demo

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
RUNS := $(VENV)/gateway-runs.stamp
TOOLS := $(VENV)/gateway-tools.stamp
# make demo PYTHON=/path/to/python3.12 names one; otherwise the first that is new enough.
PYTHON := $(shell for each in python3 python3.13 python3.12 python3.11 python; do \
  if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
  then echo $$each; exit; fi; done; echo python3)

# How many tests run at a time: they wait half of their time. make test JOBS=0 runs them one after
# the other, in one process.
JOBS := $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

# Tests and experiments start some hundred processes; without bytecode each would compile
# all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install install-tools demo serve test test-all fuzz coverage faults check lint types arch format bench compare docs screenshots lock clean damage labels labels-speed

help: ## show the verbs
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='	' read -r verb means; do printf 'make %-13s %s\n' "$$verb" "$$means"; done

install: $(RUNS) ## put the gateway into .venv, without the tools to test it

install-tools: $(TOOLS) ## the same, with them

demo: $(RUNS) ## the whole story on one screen; to look around in a browser: make demo ARGS=--keep
	@$(VENV)/bin/gateway demo $(ARGS)

serve: $(RUNS) ## run the gateway as gateway.toml says
	@$(VENV)/bin/gateway serve

test: $(TOOLS) ## the quick tests and one of each file that serves HTTP: three to four minutes
	@$(PY) -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

test-all: $(TOOLS) ## every test, the slow ones too
	@$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

fuzz: $(TOOLS) ## the tests that make their input up, with something new each time
	@HYPOTHESIS_PROFILE=searching $(PY) -m pytest -n $(JOBS) --dist worksteal -m hypothesis $(ARGS)

coverage: $(TOOLS) ## every test with branch coverage (at least 95 %), which takes twice as long
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -n $(JOBS) --dist worksteal $(ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

labels: $(TOOLS) ## read made-up labels, and count what is right: make labels ARGS="--labels 200"
	@PYTHONPATH=tests:plugins/labels $(PY) -m plugins.labels.accuracy $(ARGS)

labels-speed: $(TOOLS) ## how long a scan takes beside the bare OCR call, and what orders notice of it
	@PYTHONPATH=tests:plugins/labels $(PY) -m plugins.labels.speed $(ARGS)

damage: $(TOOLS) ## read damaged spreadsheets by seed: make damage ARGS="--files 20000 --seed 9"
	@PYTHONPATH=tests:plugins/csv $(PY) -m plugins.csv.damage $(ARGS)

faults: $(TOOLS) ## break things on purpose and see that nothing is lost
	@$(PY) tests/journeys/faults/run.py $(ARGS)

check: lint types arch test-all ## what has to pass before a change lands

lint: $(TOOLS) ## ruff: rules and formatting
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

types: $(TOOLS) ## mypy, strict
	@$(PY) -m mypy

arch: $(TOOLS) ## import-linter: imports only point down, plugins use one door
	@$(VENV)/bin/lint-imports --no-logo

format: $(TOOLS) ## let ruff repair what it can
	@$(PY) -m ruff check --fix --quiet || true
	@$(PY) -m ruff format

bench: $(TOOLS) ## measure this machine
	@$(PY) bench/run.py $(ARGS)

compare: $(TOOLS) ## measure this checkout against another: make compare BASE=../base
	@$(PY) bench/compare.py $(BASE) $(ARGS)

screenshots: $(TOOLS) ## retake the pictures of docs/ from the kept demo (needs Chromium)
	@$(PY) docs/screenshots.py

docs: $(TOOLS) ## write the generated reference pages anew
	@$(PY) docs/generate.py

lock: ## write the two lock files anew (needs uv)
	@.ci/lock

clean: ## remove .venv and what the tools leave behind
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache .coverage .coverage.*

# What the gateway runs on: enough for demo and serve.
$(RUNS): requirements.lock pyproject.toml
	@$(make_venv)
	@echo "Installing the gateway into $(VENV); the first time takes a minute."
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# That, and the tools to test it. One install brings both up to date.
$(TOOLS): requirements.lock requirements-dev.lock pyproject.toml
	@$(make_venv)
	@echo "Installing the gateway and its tools into $(VENV); the first time takes a minute."
	@$(PIP) install -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(RUNS) $@

# Debian keeps ensurepip, without which venv makes nothing, in a package of its own.
define make_venv
set -e; \
if $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then exit 0; fi; \
found=`$(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true`; \
if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
  echo "The gateway needs Python 3.11 or newer; $(PYTHON) is $${found:-not there}." \
    "Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv --clear $(VENV); \
elif command -v uv >/dev/null; then uv venv --quiet --clear --seed --python $(PYTHON) $(VENV); \
else echo "$(PYTHON) can't make a virtual environment;" \
  "on Debian or Ubuntu: apt-get install python$$found-venv" >&2; exit 1; fi
endef
