# Two commands are enough: `make run` starts the portal, `make test` tests it. `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# The environment's own Python when it works, else the first supported one on PATH; `make run PYTHON=…` overrides.
ifndef PYTHON
PYTHON := $(shell for p in $(BIN)/python python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(SUPPORTED)' 2>/dev/null && { echo "$$p"; break; }; done)
endif

.PHONY: help setup setup-dev run test check bench soak coverage constraints reset clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Make .venv, assets and translations for running
	@$(call environment,run)

setup-dev:  ## The same, with what tests and checks need
	@$(call environment,dev)

run: setup  ## Start everything on http://127.0.0.1:8000 (PORT=9000 make run: elsewhere)
	@exec $(BIN)/python -m portal.cli.supervise

test: setup-dev  ## Test on SQLite and in Chromium where it is found (TEST_ON=postgres or both make test: also there)
	@exec $(BIN)/python -m tests.run

check: setup-dev  ## Lint, types, layers, templates, architecture
	@exec $(BIN)/python -m tests.check

bench: setup-dev  ## Measure the figures of docs/performance.md
	@exec $(BIN)/python -m tests.bench

soak: setup-dev  ## The long versions of the tests; takes hours
	@exec $(BIN)/python -m tests.run --soak

coverage: setup-dev  ## Test on SQLite and list the lines never reached
	@exec $(BIN)/python -m tests.run --coverage

constraints:  ## Write requirements-constraints.txt anew after a change of a requirement (needs uv)
	@{ echo "# Written by 'make constraints': every version that the requirements pull in, on Python 3.11 to 3.13."; \
	  sed '/^-c /d' requirements.txt | cat - requirements-dev.txt | sed '/^-r /d' | uv pip compile --quiet --universal \
	  --python-version 3.11 --no-header --no-annotate --no-emit-index-url -; } > requirements-constraints.new
	@mv requirements-constraints.new requirements-constraints.txt

reset:  ## Empty the data folder var/: database, keys, logs, sandbox
	@$(PYTHON) -I portal/cli/setup_reset.py

clean: reset  ## The same, and remove .venv, assets and caches
	@rm -rf $(VENV) node_modules static/lib .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

define environment
if [ -n "$(PYTHON)" ]; then exec "$(PYTHON)" -I portal/cli/setup_environment.py $(1); \
elif command -v uv >/dev/null; then uv venv --quiet --clear --python '>=3.11,<3.14' $(VENV) && \
	exec $(BIN)/python -I portal/cli/setup_environment.py $(1); \
else echo "Python 3.11, 3.12 or 3.13 is needed and none was found." >&2; \
	echo "On Debian and Ubuntu: sudo apt install python3 python3-venv. Without root: install uv, which brings one." >&2; exit 1; fi
endef
