# `make` lists what there is. Every target sets up what it needs in .venv, once, and again when the lock changes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# two installs into one environment must not run at the same time
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
NAME ?=
BUDGET ?= 90m

ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1 NUMBA_NUM_THREADS=1
PIP_INSTALL := $(BIN)/python -m pip install --no-input --progress-bar off -c constraints.txt
# the build tools of our own package and of peers that come as source are pinned by the lock as well
BUILD := --build-constraint constraints.txt
LOCKED := constraints.txt pyproject.toml Makefile

.PHONY: help demo test lint validate bench docs lock clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.stamp-demo ## a full estimate on made-up events, from data to report, in demo-report/
	$(BIN)/backdrop demo --out demo-report

test: $(VENV)/.stamp-test ## the test suite and the examples in the docstrings
	$(ONE_THREAD) $(BIN)/python -m pytest

lint: $(VENV)/.stamp-test ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src
	$(BIN)/lint-imports --no-logo

validate: $(VENV)/.stamp-test ## toys and coverage: NAME=what to validate, BUDGET=90m
	$(ONE_THREAD) $(BIN)/python -m benchmarks.validate $(NAME) --budget $(BUDGET)

bench: $(VENV)/.stamp-bench ## our speed against named peers, on one core: NAME=one of them, or all
	$(ONE_THREAD) taskset -c 0 $(BIN)/python -m benchmarks $(NAME)

docs: $(VENV)/.stamp-docs ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

clean: ## remove what the other targets wrote (.venv stays)
	rm -rf build dist demo-report docs/_build docs/generated docs/_names.md docs/_benchmarks.md docs/_keys.md docs/.jupyter_cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# --- environments -----------------------------------------------------------------------------------------------------

$(BIN)/python:
	@for python in $${PYTHON:-python3.11 python3}; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    rm -rf $(VENV); \
	    exec $$python -m venv $(VENV); \
	  fi; \
	  tried="$${tried:-} $$python ($$($$python --version 2>&1 | head -n 1 || true))"; \
	done; \
	echo "backdrop needs Python 3.11 or newer; tried:$$tried" >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

# $(1): what it is for; $(2): what pip installs. pip's output is shown only where it fails, which leaves no stamp.
define install
	@echo "Installing what '$(1)' needs into $(VENV) (once for each lock; the first takes minutes)"
	@{ $(PIP_INSTALL) pip && $(PIP_INSTALL) $(BUILD) $(2); } > $(VENV)/install.log 2>&1 || \
	  { tail -n 40 $(VENV)/install.log >&2; echo "The whole output is in $(VENV)/install.log" >&2; exit 1; }
	@touch $@
endef

$(VENV)/.stamp-demo: $(LOCKED) | $(BIN)/python
	$(call install,demo,-e .)

# pythia8mc has a wheel for Python 3.11 on Linux; without it the tests of the generator are skipped, and say so
GENERATE = $$($(BIN)/python -c 'import sys; print(",generate" * (sys.version_info[:2] == (3, 11)))')

$(VENV)/.stamp-test: $(LOCKED) | $(BIN)/python
	$(call install,test and lint,-e ".[learn$(,)transport$(,)dask$(GENERATE)]" --group test)

$(VENV)/.stamp-bench: $(LOCKED) | $(BIN)/python
	$(call install,bench,-e ".[learn$(,)transport]" --group bench)

$(VENV)/.stamp-docs: $(LOCKED) | $(BIN)/python
	$(call install,docs,-e ".[learn$(,)transport]" --group docs)

, := ,

# --- lock -------------------------------------------------------------------------------------------------------------

# torch: a newer wheel brings gigabytes of CUDA; pythia8mc: the release that the generator is tested with.
# Everything else is the newest that goes together. All groups and extras share one resolution, hep_ml and nflows too.
LOCK_PINS := torch==2.13.0 pythia8mc==8.317.0
LOCK_ALL := -e ".[learn,transport,generate,dask,onnx,remote]" --group test --group docs --group bench hatchling editables pip

define LOCK_WRITE
import json, re, sys
packages = [item["metadata"] for item in json.load(sys.stdin)["install"]]
pins = {re.sub(r"[-_.]+", "-", p["name"]).lower(): p["version"].split("+")[0] for p in packages}
del pins["backdrop"]
print("# Written by `make lock`, for Python 3.11 on Linux: every package of every extra and group, pinned.")
print(*(f"{name}=={version}" for name, version in sorted(pins.items())), sep="\n")
endef
export LOCK_WRITE

lock: $(BIN)/python ## resolve every dependency anew into constraints.txt
	@$(PIP_INSTALL) -qq pip
	$(BIN)/python -m pip install -qq --dry-run --ignore-installed --report .lock.json $(LOCK_PINS) $(LOCK_ALL)
	$(BIN)/python -c "$$LOCK_WRITE" < .lock.json > .lock.txt
	mv .lock.txt constraints.txt
	rm .lock.json
