# The one entry. `make` lists what there is; CI runs `make check` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never
# Where Python is told to keep nothing, each start compiles the whole of Maestro: two seconds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help serve dev demo test conformance-all check fix audit bench fuzz prove docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

serve: .venv/base ## start Maestro on 127.0.0.1:8000 (PORT=, DATA=)
	@$(BIN)/maestro serve $(if $(PORT),--port $(PORT)) $(if $(DATA),--data "$(DATA)")

dev: .venv/base ## the same for trying out: well-known password, reload on change (PORT=, DATA=)
	@$(BIN)/maestro serve --dev $(if $(PORT),--port $(PORT)) $(if $(DATA),--data "$(DATA)")

demo: .venv/demo ## show the main job on real data, in a temporary folder
	@$(BIN)/maestro demo

# Hashing gives way to everything else, so at another priority a test waits for its neighbours.
test: .venv/dev ## run the tests; T=tests/unit narrows it, COVER=1 measures coverage
	@$(MAKE) --no-print-directory .clients/oldest/ready || echo "make test: without the oldest MLflow client its tests are left out; in CI they fail." >&2
	nice -n 10 $(BIN)/pytest -n auto --no-loadscope-reorder $(if $(COVER),--cov --cov-report=term:skip-covered --cov-report=xml) $(T)

conformance-all: .venv/dev .clients/oldest/ready .clients/middle/ready ## run the MLflow clients that are supported, old and new, on both databases
	MAESTRO_TEST_CLIENTS=all $(BIN)/pytest tests/conformance/test_clients.py

check: .venv/dev ## format, lint, types, ranks, house rules, migration drift, security lint, docs up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/architecture/test_rules.py tests/architecture/test_safety_rules.py
	$(BIN)/bandit --quiet --severity-level medium --recursive src --configfile pyproject.toml
	$(BIN)/python -m maestro_ml.migrations.drift
	PYTHONPATH=tests $(BIN)/python docs/generate.py --check

fix: .venv/dev ## format, and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: .audit/bin/pip-audit ## ask whether a locked dependency has a known fault; needs the package index
	@.audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r requirements/dev.lock \
		|| { echo "make audit: a fault is known, or nobody could be asked. See above." >&2; exit 1; }

bench: .venv/dev ## measure the hot paths against a limit in the same run; B=memory narrows it
	$(BIN)/python -m benchmarks $(B)

fuzz: .venv/dev ## send a server 50,000 requests made up from its contract (CASES=; SEED= repeats a run)
	MAESTRO_TEST_PROOF=full $(if $(CASES),MAESTRO_TEST_FUZZ_CASES=$(CASES)) $(if $(SEED),MAESTRO_TEST_FUZZ_SEED=$(SEED)) \
		$(BIN)/pytest -s tests/security/test_fuzz.py

prove: .venv/dev ## attack a live server in every way we know, in full, and write docs/security/proof.md (long; SHORT=1: as CI does)
	PYTHONPATH=tests $(BIN)/python -m proof $(if $(SHORT),--short)

docs: .venv/dev ## write the reference pages anew from the code
	PYTHONPATH=tests $(BIN)/python docs/generate.py

lock: | $(UV) ## resolve the dependencies anew (versions and hashes, no addresses)
	$(LOCK) pyproject.toml requirements/build.in -o requirements/base.lock
	$(LOCK) pyproject.toml requirements/build.in requirements/demo.in -c requirements/base.lock -o requirements/demo.lock
	$(LOCK) pyproject.toml requirements/build.in requirements/demo.in requirements/dev.in -c requirements/demo.lock -o requirements/dev.lock
	$(LOCK) requirements/uv.in -o requirements/uv.lock
	$(LOCK) requirements/audit.in -o requirements/audit.lock
	$(LOCK) requirements/clients/oldest.in -o requirements/clients/oldest.lock
	$(LOCK) requirements/clients/middle.in -o requirements/clients/middle.lock

clean: ## remove the environment and the caches; data folders stay
	rm -rf .venv .uv .audit .clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage coverage.xml

LOCK := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# One environment in three sizes. A larger one holds the smaller ones, so it counts for them too.
SYNC = @$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv \
	&& rm -f .venv/base .venv/demo .venv/dev \
	&& echo "Installing requirements/$(@F).lock ..." >&2 \
	&& $(UV) pip sync --quiet --python .venv --compile-bytecode --require-hashes requirements/$(@F).lock \
	&& $(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable . \
	&& touch

.venv/base: requirements/base.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base

.venv/demo: requirements/demo.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base .venv/demo

.venv/dev: requirements/dev.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base .venv/demo .venv/dev

# A client of MLflow in an environment of its own, as the conformance tests need it.
.clients/%/ready: requirements/clients/%.lock | $(UV)
	@echo "Installing $< ..." >&2
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .clients/$*
	@$(UV) pip sync --quiet --python .clients/$* --require-hashes $<
	@touch $@

.audit/bin/pip-audit: requirements/audit.lock | $(UV)
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .audit
	@$(UV) pip sync --quiet --python .audit --require-hashes requirements/audit.lock
	@touch $@

.uv/bin/uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maestro needs Python 3.11 or newer: name one with make PYTHON=python3.12")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@
