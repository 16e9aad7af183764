# The only commands a contributor must know: `make demo`, `make test`, `make lint`.
# Each makes the environment first if it is missing or out of date; each says what it does.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.made-from
PIP := $(VENV)/bin/python -m pip

.PHONY: demo test lint env clean
.DEFAULT_GOAL := demo

demo: env ## run the whole path, then leave the web page up until Ctrl-C
	@$(VENV)/bin/python -m landsweep demo

test: env ## run all tests
	@echo "==> Tests (about 14 minutes on 2 cores)"
	@$(VENV)/bin/python -m pytest $(ARGS)

lint: env ## check style and types
	@echo "==> ruff"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@echo "==> mypy"
	@$(VENV)/bin/mypy

env: $(STAMP) ## make the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed. Name one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "==> Making the environment in $(VENV) (about 7 GB, 3 to 4 minutes)"
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "error: Python's venv module is missing. On Debian: apt install python3-venv" >&2; exit 2; }
	@$(PIP) install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@cat pyproject.toml constraints.txt | cksum > $(STAMP)

clean: ## remove what the demo made; the environment stays
	rm -rf demo build *.egg-info
