# The one entry. `make` lists what there is; CI runs `make check` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never

.PHONY: help serve dev demo test check fix bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

serve: .venv/base ## start Maestro on 127.0.0.1:8000 (PORT=, DATA=)
	@$(BIN)/maestro serve $(if $(PORT),--port $(PORT)) $(if $(DATA),--data "$(DATA)")

dev: .venv/base ## the same for trying out: well-known password, reload on change (PORT=, DATA=)
	@$(BIN)/maestro serve --dev $(if $(PORT),--port $(PORT)) $(if $(DATA),--data "$(DATA)")

demo: .venv/demo ## show the main job on real data, in a temporary folder
	@$(BIN)/maestro demo

test: .venv/dev ## run the tests; T=tests/unit narrows it, COVER=1 measures coverage
	$(BIN)/pytest -n auto $(if $(COVER),--cov --cov-report=term:skip-covered --cov-report=xml) $(T)

check: .venv/dev ## format, lint, types, ranks, migration drift, security lint, docs up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --severity-level medium --recursive src --configfile pyproject.toml
	$(BIN)/python -m maestro_ml.migrations.drift
	$(BIN)/python docs/generate.py --check

fix: .venv/dev ## format, and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev ## measure the hot paths against a limit in the same run; B=memory narrows it
	$(BIN)/python -m benchmarks $(B)

docs: .venv/dev ## write the reference pages anew from the code
	$(BIN)/python docs/generate.py

lock: | $(UV) ## resolve the dependencies anew (versions and hashes, no addresses)
	$(LOCK) pyproject.toml requirements/build.in -o requirements/base.lock
	$(LOCK) pyproject.toml requirements/build.in requirements/demo.in -c requirements/base.lock -o requirements/demo.lock
	$(LOCK) pyproject.toml requirements/build.in requirements/demo.in requirements/dev.in -c requirements/demo.lock -o requirements/dev.lock
	$(LOCK) requirements/uv.in -o requirements/uv.lock

clean: ## remove the environment and the caches; data folders stay
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage coverage.xml

LOCK := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# One environment in three sizes. A larger one holds the smaller ones, so it counts for them too.
SYNC = @$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv \
	&& rm -f .venv/base .venv/demo .venv/dev \
	&& echo "Installing requirements/$(@F).lock ..." >&2 \
	&& $(UV) pip sync --quiet --python .venv --require-hashes requirements/$(@F).lock \
	&& $(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable . \
	&& touch

.venv/base: requirements/base.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base

.venv/demo: requirements/demo.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base .venv/demo

.venv/dev: requirements/dev.lock pyproject.toml | $(UV)
	$(SYNC) .venv/base .venv/demo .venv/dev

.uv/bin/uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maestro needs Python 3.11 or newer: name one with make PYTHON=python3.12")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@
