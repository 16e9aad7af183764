# The only commands a contributor must know: `make demo`, `make test`, `make lint`.
# Each makes the environment first if it is missing or out of date; each says what it does.

PYTHON ?= python3
VENV := .venv
BASE := $(VENV)/.made-from
DEV := $(VENV)/.dev-made-from
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt
PYTEST := $(VENV)/bin/python -m pytest

.PHONY: demo test test-slow test-all lint env dev clean
.DEFAULT_GOAL := demo

demo: env ## run the whole path, then leave the web page up until Ctrl-C
	@$(VENV)/bin/python -m landsweep demo

test: dev ## run all tests but the slow ones
	@echo "==> Tests (about 16 minutes on 2 cores; make test-all runs the slow ones too)"
	@$(PYTEST) -n 2 --dist loadscope -m "not slow" $(ARGS)

test-slow: dev ## run the tests that kill, soak or need minutes each
	@echo "==> Slow tests (about 12 minutes on 2 cores)"
	@$(PYTEST) -m "slow and not cluster" $(ARGS)

test-all: test test-slow ## run all tests
	@$(PYTEST) -m cluster $(ARGS)

lint: dev ## check style and types
	@echo "==> ruff"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@echo "==> mypy"
	@$(VENV)/bin/mypy

env: $(BASE) ## make the environment in .venv

dev: $(DEV) ## and add what tests and lint need

$(BASE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed. Name one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "==> Making the environment in $(VENV) (about 7 GB, 3 to 4 minutes)"
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "error: Python's venv module is missing. On Debian: apt install python3-venv" >&2; exit 2; }
	@$(PIP) -e .
	@cat pyproject.toml constraints.txt | cksum > $(BASE)

$(DEV): $(BASE)
	@echo "==> Adding what tests and lint need"
	@$(PIP) -e '.[dev]'
	@cp $(BASE) $(DEV)

clean: ## remove what the demo made; the environment stays
	rm -rf demo build *.egg-info
