# Where You Parked. `make` alone lists the targets.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
# Where pip finds what it installs is the machine's own setting; no file here names an index.

LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: bench-stops bench-facts bench-memory help install demo test check lint types contracts lock bench-serve bench-online bench-join bench-real clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned, hash-checked dependencies into $(VENV)"
	@$(PIP) --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/dev.txt \
	  || { echo "uv cannot reach a package index; trying pip and its settings (about two minutes)"; \
	       $(PIP) --require-hashes -r requirements/dev.txt; }
	@$(PIP) --no-build-isolation --editable .
	@$(BIN)/parked facts compile
	@$(BIN)/python -c "import bentos.model.row_kernel, bentos.moment_kernel"  # kept compiled beside their sources
	@touch $(STAMP)

install: $(STAMP)  ## Make .venv with .venv/bin/parked

demo: install  ## The whole story in a few minutes: simulate, facts, features, train, serve, drift, refit, publish
	@$(BIN)/parked demo

test: install  ## Run every test
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install
	@$(BIN)/mypy

contracts: install
	@$(BIN)/lint-imports

check: lint types contracts test  ## All that CI runs: lint, types, import contracts, tests

bench-stops: install  ## Our stops beside published tools' on the same files: F1, time errors, fixes/s (makes their environments)
	@$(BIN)/python -m benchmarks.stops.peers

bench-facts: install  ## How fast facts are made, beside trackintel and movingpandas, and the memory a large file takes
	@$(BIN)/python -m benchmarks.facts_speed

bench-memory: install  ## Peak memory of facts of everything ingested, and of the commands after it, as phones become more
	@$(BIN)/python -m benchmarks.facts_memory && $(BIN)/python -m benchmarks.command_memory

bench-serve: install  ## Serving beside the naive service and BentoML's no-op, with wrk: prints docs/serving.md's numbers
	@$(BIN)/python -m benchmarks.serving

bench-online: install  ## Loading and reading the online store: ours beside Feast's SQLite and Redis (wants redis-server)
	@$(BIN)/python -m benchmarks.online_store

bench-join: install  ## The point-in-time join beside a hand-written polars join_asof (makes its environment) and Feast's own
	@$(BIN)/python -m benchmarks.point_in_time

bench-real: install  ## Real drives against their tapped parking spots: prints the README's table, writes docs/real-drives.md
	@$(BIN)/python -m benchmarks.real_drives && $(BIN)/python -m benchmarks.real_report --out docs/real-drives.md

lock: install  ## Renew the hash-pinned locks from pyproject.toml
	@$(LOCK) pyproject.toml -o requirements/runtime.txt
	@for extra in dev redis postgres spark; do $(LOCK) --extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done
	@grep -o '^uv==[0-9.]*' requirements/dev.txt | $(LOCK) - -o requirements/uv.txt

clean:  ## Remove the environment and everything generated
	rm -rf $(VENV) var build dist *.egg-info
