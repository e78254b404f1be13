# The commands of the project. Set-up happens by itself, once; again only when requirements.lock or pyproject.toml changes.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

MARKET ?= harbor
TEST_FLAGS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
CODE := $(wildcard lib tests notebooks playbooks .ci)
PACKAGES := $(VENV)/.packages-installed
READY := $(VENV)/.project-installed

.PHONY: help run test test-full bench check lab lock

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */\1|/' | awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

run: $(READY)  ## run the loop of one market: make run, make run MARKET=bank
	$(VENV)/bin/closedloop run $(MARKET)

test: $(READY)  ## the tests; real markets too when CLOSEDLOOP_MIRROR is set
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n auto --dist worksteal $(TEST_FLAGS)

test-full: $(READY)  ## the tests with every simulation at full size, and the table of measured figures
	CLOSEDLOOP_FULL=1 OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n auto --dist worksteal \
	  --validity-file runs/validity.txt $(TEST_FLAGS)

bench: $(READY)  ## speeds beside a plain reference on this machine; real markets are not needed
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.bench.evidence
	$(PYTHON) -m tests.bench.batch

check: $(READY)  ## style, types, and generated files that are current
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)
	$(VENV)/bin/mypy
	$(PYTHON) .ci/environment_yml.py --check
	$(VENV)/bin/closedloop dictionary --check

lab: $(READY)  ## JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab notebooks

lock: $(READY)  ## after a change of pyproject.toml: write requirements.lock and environment.yml again (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 \
	  --extra cluster --extra postgres --extra pdf --extra test --extra dev \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --quiet --output-file requirements.lock
	$(PYTHON) .ci/environment_yml.py

$(PACKAGES): requirements.lock
	@for candidate in python3.11 python3.12 python3.13 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Closed Loop needs Python 3.11 or newer; found: $$(python3 --version 2>/dev/null || echo none). Install one from python.org, your" \
	    "system's packages or conda (environment.yml), and run make again." >&2; exit 1; fi; \
	test -x $(PYTHON) || $$found -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@touch $@

$(READY): $(PACKAGES) pyproject.toml
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
