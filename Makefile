# Every target works from a fresh clone: it installs what it needs first, and says so.
#
#   make check        lint, types, imports, quick tests (about 3 min)
#   make test         what CI runs: all tests but the slow ones (at most 30 min)
#   make test-all     everything, also every crash point
#   make test-pythons the quick tests on every Python that pyproject.toml names
#   make demo         a host loses power, and its guests run elsewhere; KEEP=1 leaves the lab up,
#                     BACKEND=libvirt|nova chooses the system
#   make bench        hamon and what you would run instead, side by side on one Nova (two hours)
#   make bench-demo   the figures of the demo, ten power cuts
#   make venv | packages | lock | clean

PYTHON ?= python3
VENV ?= .venv
# Where `make test-pythons` looks: commands, one for each Python in pyproject.toml.
PYTHONS ?= python3.11

KEEP ?=
BACKEND ?= libvirt
export KEEP BACKEND

# One recipe at a time: the labs of two targets would fight for the two cores they need.
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

bin := $(VENV)/bin
stamp := $(VENV)/.installed
uv := .lock-venv/bin/uv
uv_version := 0.13.9

# Folders that hold Python of ours, and tests by how long they take; only those that exist.
code := $(wildcard hamon lab bench tests tools/*.py)
quick_tests := $(wildcard tests/unit tests/scenarios tests/sim tests/contract)
all_tests := $(quick_tests) $(wildcard tests/integration)
# What needs nothing but processor time runs on every core; labs have the machine for themselves.
in_memory := $(bin)/pytest -n auto $(quick_tests)

.PHONY: help
help:
	@sed -n '/^#   make/,/^$$/s/^# *//p' Makefile

# --- what is needed first

.PHONY: packages build-packages openstack-packages test-packages
build-packages:
	@tools/install-debian-packages tools/debian-packages.txt

packages:
	@tools/install-debian-packages tools/debian-packages.txt lab/debian-packages.txt

openstack-packages: packages
	@tools/install-debian-packages lab/openstack/debian-packages.txt

test-packages: packages
	@tools/install-debian-packages tests/debian-packages.txt

.PHONY: venv
venv: build-packages $(stamp)

# What builds (setuptools) comes first and from its own lock, so that nothing is fetched that no
# hash was written down for: pip does not check hashes of what it puts into a build environment.
$(stamp): requirements/build.txt requirements/lock.txt pyproject.toml
	@echo "venv: installing the locked Python packages into $(VENV)"
	@test -x $(bin)/python || $(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	@$(bin)/python -m pip install --quiet --require-hashes --no-build-isolation \
		-r requirements/lock.txt
	@$(bin)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Writes the locks anew, with the newest versions that pyproject.toml allows. uv rather than pip
# because one lock then holds for every Python version that is tested.
.PHONY: lock
lock: $(uv)
	@echo "lock: resolving the newest versions"
	@cd requirements && ../$(uv) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		build.in --output-file build.txt
	@$(uv) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--all-extras pyproject.toml --output-file requirements/lock.txt
	@cd requirements && ../$(uv) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		openstack.in --output-file openstack.txt
	@cd requirements && ../$(uv) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		masakari.in --output-file masakari.txt

$(uv): Makefile
	@$(PYTHON) -m venv .lock-venv
	@.lock-venv/bin/python -m pip install --quiet uv==$(uv_version)
	@touch $@

# --- what is checked

# The units: how much each is exposed, in tenths. The guests process has to work as root.
.PHONY: lint
lint: venv
	@echo "lint: ruff, mypy, import-linter"
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy $(code)
	@$(bin)/lint-imports --no-cache --no-logo
	@if command -v systemd-analyze >/dev/null; then \
		tools/check-systemd-units 20 systemd/hamon.service systemd/hamon-agent.service \
			systemd/hamon-agent-gate.service && \
		tools/check-systemd-units 25 systemd/hamon-agent-guests.service; fi

.PHONY: check
check: lint
	@echo "check: $(quick_tests), in memory, on every core"
	@$(in_memory) -m "not integration and not slow"

.PHONY: test
test: test-packages openstack-packages lint
	@echo "test: what $(MAKE) check runs, then $(all_tests) with real parts; all but the slow ones"
	@$(in_memory) -m "not integration and not slow"
	@$(bin)/pytest -m "integration and not slow" $(all_tests)

.PHONY: test-all
test-all: test-packages openstack-packages lint
	@echo "test-all: $(all_tests)"
	@$(in_memory) -m "not integration"
	@$(bin)/pytest -m integration $(all_tests)

.PHONY: test-pythons
test-pythons: build-packages
	@for python in $(PYTHONS); do \
		$(MAKE) check PYTHON=$$python VENV=.venv-$$python || exit 1; \
	done

# --- what is shown

.PHONY: demo
demo: $(if $(filter nova,$(BACKEND)),openstack-packages,packages) venv
	@$(bin)/python -m lab.demo

.PHONY: bench
bench: openstack-packages venv
	@$(bin)/python -m bench.nova

.PHONY: bench-demo
bench-demo: packages venv
	@$(bin)/python -m bench.demo

.PHONY: clean
clean:
	rm -rf .venv .venv-* .lock-venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find hamon tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
