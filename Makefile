# On a machine with Python 3.11+ and make, nothing else: `make demo`, `make test`. `make help` lists the rest.
#
# Everything that runs stands in requirements-dev.lock with its hash, the build backend too. Plain POSIX shell and
# GNU make 3.81, so that it works on an old machine.

# The interpreter for the environments; 3.11 or later.
PYTHON ?= python3

# More for the tool that a target runs: `make test ARGS="-k tail"`, `make lock ARGS=--upgrade`.
ARGS ?=

# The uv we install where there is none. A folder per version: a new number here never meets an old binary.
UV_VERSION := 0.13.9

# uv where it is on PATH and runs (a pyenv shim may be there and not run), else our own.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
ifeq ($(UV),)
UV := .uv/$(UV_VERSION)/bin/uv
endif

# uv would fetch an interpreter from elsewhere than the package index; we use the one that is here.
export UV_PYTHON_DOWNLOADS := never

# Seconds; the largest wheel is 30 MB and some lines are slow.
UV_HTTP_TIMEOUT ?= 180
export UV_HTTP_TIMEOUT

# uv does not read pip's settings, but a machine that reaches packages only through its own index or certificate
# usually tells pip alone. They are handed on when uv runs and written nowhere; what uv was told itself wins.
# `pip config get` reads one file only; `list` reads all.
pip_setting = $(PYTHON) -m pip config list 2>/dev/null | sed -n "s/^global\.$(1)='\(.*\)'$$/\1/p"
like_pip = \
	: "$${UV_DEFAULT_INDEX:=$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$($(call pip_setting,index-url))}}}"; \
	: "$${SSL_CERT_FILE:=$${PIP_CERT:-$$($(call pip_setting,cert))}}"; \
	if [ -n "$$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi; \
	if [ -n "$$SSL_CERT_FILE" ]; then export SSL_CERT_FILE; else unset SSL_CERT_FILE; fi

.DEFAULT_GOAL := help
.PHONY: help docs demo test test-slow test-duckdb2 mutations storm fuzz bench format lock wheel smoke clean \
	check check-format check-lint check-types check-imports check-locks

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

# ---- for the operator

demo: .venv/.built ## bundled synthetic logs -> totals, freshness, findings; checks its own numbers
	@.venv/bin/tallystick demo $(ARGS)

# ---- tests

# Each worker begins with a half of the tests as they stand, so that what a file's tests share is made once; who is done
# first takes of what the other has left.
in_two := -n 2 --dist worksteal

test: .venv/.built ## all tests but the slow ones
	.venv/bin/python -m pytest $(in_two) $(ARGS)

test-slow: .venv/.built ## the tests marked slow: soak, big random models
	.venv/bin/python -m pytest $(in_two) -m slow --timeout 1800 $(ARGS)

# Files, processes and messages in all their misery: the database is the same at the end of each of these. SQLite is read
# by its own library, and running totals are folded by Python.
not_about_tables := $(patsubst %,--ignore tests/daemon/test_%.py,watch week tail_model inbox \
	stalls behind health standing service notify hook hook_install hook_health checkout trailers guard heartbeat \
	files_that_do_not_keep_still bad_input drift_live posts expect follow dashboard \
	web databases config statusline upkeep) --ignore tests/projections/test_counters.py

test-duckdb2: .venv-duckdb2/.built ## everything that meets the database, with the newest DuckDB 2.x
	@.venv-duckdb2/bin/python -c 'import duckdb; v = duckdb.__version__; print("duckdb", v); assert v.startswith("2.")'
	.venv-duckdb2/bin/python -m pytest $(in_two) tests/projections tests/faults/test_tables.py tests/daemon $(not_about_tables) $(ARGS)

mutations: .venv/.built ## takes away the protection against each fault in turn: its test has to fail; ARGS=FAULT for one
	.venv/bin/python -m tests.faults.mutate $(ARGS)

storm: .venv/.built ## the long storms: 10,000 kill -9, 500 power cuts, 20,000 corruptions; STORM_KILLS=N and so on for fewer
	.venv/bin/python -m pytest -q -s -m slow tests/faults/test_storms.py $(ARGS)

# How many lines `make fuzz` makes.
LINES ?= 100000

# From here, as the corpus is that of the tests. ARGS=--seed=N repeats a run.
fuzz: .venv-fuzz/.built ## coverage-guided fuzzing of adapters, inbox and hooks; prints lines, crashes, peak memory
	.venv-fuzz/bin/python -m tests.fuzz.run --lines $(LINES) $(ARGS)

docs: .venv/.built ## writes the parts of docs/ that the code knows better
	.venv/bin/python docs/render.py

bench: .venv/.built ## measures throughput and latency on synthetic logs
	.venv/bin/python benchmarks/run.py $(ARGS)

# ---- style, types, import direction, locks

check: check-format check-lint check-types check-imports check-locks ## format, lint, types, import direction, locks

check-format: .venv/.built
	.venv/bin/python -m ruff format --check .

check-lint: .venv/.built
	.venv/bin/python -m ruff check .

check-types: .venv/.built
	.venv/bin/python -m mypy

check-imports: .venv/.built
	.venv/bin/lint-imports --no-logo

format: .venv/.built ## formats, and fixes what ruff can fix
	.venv/bin/python -m ruff check --fix-only --quiet .
	.venv/bin/python -m ruff format .

# Universal from 3.11 on: one lock for every platform and Python. Neither index nor machine appears in the header.
compile = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: | $(UV) ## brings the locks up to pyproject.toml; ARGS=--upgrade also takes newer versions
	@$(like_pip); set -e; \
	$(compile) $(ARGS) --output-file requirements.lock >/dev/null; \
	$(compile) $(ARGS) --group dev --constraints requirements.lock --output-file requirements-dev.lock >/dev/null; \
	echo "locked: requirements.lock requirements-dev.lock"

# Resolved again into copies: versions and hashes that a lock holds are kept as long as pyproject.toml allows them, so a
# release on the index never turns this red. Comment lines differ between versions of uv and say nothing.
check-locks: | $(UV)
	@$(like_pip); set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	cp requirements.lock requirements-dev.lock "$$fresh"; \
	{ $(compile) --output-file "$$fresh/requirements.lock" >/dev/null && \
		$(compile) --group dev --constraints "$$fresh/requirements.lock" --output-file "$$fresh/requirements-dev.lock" >/dev/null && \
		diff -u -I '^ *#' requirements.lock "$$fresh/requirements.lock" && \
		diff -u -I '^ *#' requirements-dev.lock "$$fresh/requirements-dev.lock"; } || \
	{ echo "the locks are not what pyproject.toml asks for: make lock" >&2; exit 1; }; \
	echo "the locks are current"

# ---- the wheel

wheel: .venv/.built ## dist/: source archive, and the wheel built from it
	@rm -rf dist
	@$(like_pip); $(UV) build --quiet --no-build-isolation --python .venv/bin/python
	@ls dist/*.whl

# As an operator has it: the locked packages, the wheel, no checkout in sight, a home with nothing in it.
smoke: wheel ## installs the wheel elsewhere and runs its demo from /
	@$(like_pip); set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; mkdir "$$away/home"; \
	$(UV) venv --quiet --python .venv/bin/python "$$away/venv"; \
	$(UV) pip install --quiet --python "$$away/venv/bin/python" --require-hashes -r requirements.lock; \
	$(UV) pip install --quiet --python "$$away/venv/bin/python" --no-deps dist/*.whl; \
	$(UV) pip check --quiet --python "$$away/venv/bin/python"; \
	cd /; unset PYTHONPATH XDG_STATE_HOME XDG_CONFIG_HOME STATE_DIRECTORY; export HOME="$$away/home"; \
	"$$away/venv/bin/tallystick" --version; \
	"$$away/venv/bin/tallystick" demo; \
	echo "smoke: the wheel runs without the checkout"

# ---- environments

require_python = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "tallystick needs Python 3.11 or later, and '$(PYTHON)' is none. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }

# In an environment of its own first: the system's pip may be absent, or refuse. A Debian without python3-venv has no
# ensurepip, but its pip can fill a folder.
.uv/$(UV_VERSION)/bin/uv:
	@$(require_python)
	@echo "installing uv $(UV_VERSION) into .uv/"
	@rm -rf .uv; \
	{ $(PYTHON) -m venv .uv/$(UV_VERSION) >/dev/null 2>&1 && \
		.uv/$(UV_VERSION)/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION); } || \
	{ rm -rf .uv; $(PYTHON) -m pip install -qq --disable-pip-version-check --target .uv/$(UV_VERSION) uv==$(UV_VERSION); } || \
	{ rm -rf .uv; echo "uv could not be installed. Install uv yourself, or python3-venv, and run make again." >&2; exit 1; }

# An environment whose interpreter has gone is made anew; otherwise it is brought to the lock, whatever was in it.
# `sync` takes our own package out, as no lock names it: hence the line after it.
build_environment = $(require_python); $(like_pip); set -e; echo "building $(@D) from requirements-dev.lock"; \
	$(@D)/bin/python -c '' 2>/dev/null || { rm -rf $(@D); \
		$(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(@D); }; \
	$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes requirements-dev.lock; \
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .

.venv/.built: pyproject.toml requirements.lock requirements-dev.lock | $(UV)
	@$(build_environment); touch $@

# The newest 2.x and no lock: this target is there to hear of its changes. From / because inside the project
# pyproject.toml holds duckdb at 1.5.5. An old environment is not moved by itself: `make clean` first.
.venv-duckdb2/.built: pyproject.toml requirements.lock requirements-dev.lock | $(UV)
	@$(build_environment); \
	$(abspath $(UV)) --directory / pip install --quiet --python $(abspath $(@D))/bin/python --upgrade --no-deps 'duckdb>=2,<3'; \
	touch $@

# Not in the lock: it has wheels for Linux on x86-64 alone, and the lock covers every platform that we run on; where there is
# no wheel, this target alone cannot run. One version, so that a failing seed is the same line tomorrow.
ATHERIS_VERSION := 3.0.0
.venv-fuzz/.built: pyproject.toml requirements.lock requirements-dev.lock | $(UV)
	@$(build_environment); \
	$(UV) pip install --quiet --python $(@D)/bin/python --only-binary :all: --no-deps atheris==$(ATHERIS_VERSION); \
	touch $@

clean: ## removes what this file builds, and the tools' caches
	rm -rf .venv .venv-duckdb2 .venv-fuzz .uv dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
