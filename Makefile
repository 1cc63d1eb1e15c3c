# What a newcomer types: `make demo` and `make test`. Needs python3 >= 3.11 with venv, make and git; nothing else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
# As many processes; each starts the servers it needs at addresses of its own, and takes over tests from one that has more left.
PROCESSES ?= 2
TOGETHER := -n $(PROCESSES) --dist worksteal
NEEDS_NETWORK := { echo "The packages could not be installed. This needs the network once, for PyPI (or the index that pip is set to): see above."; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 14

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "Muster needs Python 3.11 or newer, and there is no $(PYTHON) here. Install it, or say 'make demo PYTHON=python3.12' or the like."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Muster needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version). Say 'make demo PYTHON=python3.12' or the like."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make virtual environments: install the package python3-venv."; rm -rf $(VENV); exit 1; }

# The project's own build needs the pinned hatchling, so it comes after the lock and without isolation.
$(VENV)/.demo: requirements-demo.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing what the demo needs into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements-demo.lock || $(NEEDS_NETWORK)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.condor: requirements-condor.lock $(VENV)/.demo
	@echo "installing HTCondor's bindings into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements-condor.lock || $(NEEDS_NETWORK)
	@touch $@

$(VENV)/.all: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements.lock || $(NEEDS_NETWORK)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo $(VENV)/.condor

demo: $(if $(filter htcondor,$(POOL)),$(VENV)/.condor,$(VENV)/.demo)  ## a real analysis, from nothing to the result, in under a minute (RUNTIME=apptainer: in containers; POOL=htcondor: on a pool)
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHON="$(CURDIR)/$(BIN)/python" $(BIN)/python examples/daya-bay/demo.py $(if $(RUNTIME),--runtime $(RUNTIME)) $(if $(POOL),--pool $(POOL))

check: $(VENV)/.all  ## format, lint, types, imports, and the tests that need no server (for every commit)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(TOGETHER) -m "not server and not system"

test: $(VENV)/.all  ## everything, with the real services, which it fetches, starts and stops itself
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(TOGETHER)

bench: $(VENV)/.all  ## measure (minutes); the figures go to docs/benchmarks.md
	PYTHONPATH=tests $(BIN)/python -m benchmarks
	$(BIN)/python docs/generate.py

docs: $(VENV)/.all  ## make the pages that are generated
	$(BIN)/python docs/generate.py

lock: $(VENV)/.all  ## maintainers, with uv: pin every dependency with hashes
	uv lock --quiet --upgrade
	uv export --quiet --frozen --no-emit-project --no-header --all-extras --all-groups -o requirements.lock
	uv export --quiet --frozen --no-emit-project --no-header --no-dev -o requirements-base.lock
	uv export --quiet --frozen --no-emit-project --no-header --no-dev --extra server --group demo --group build -o requirements-demo.lock
	uv export --quiet --frozen --no-header --only-group condor -o requirements-condor.lock

clean:  ## take away everything that was made here
	rm -rf $(VENV) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
