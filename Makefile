# A fresh machine needs Python 3.11 or later and make; every target makes the rest, in .venv/ and nowhere else.
# `make test EXTRAS=ray,spark,interop` tests the engines and other people's readers too, FULL=1 the pages in a browser.

MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/sh
BIN := .venv/bin

comma := ,
extras := $(subst $(comma), ,$(EXTRAS))
stamps := .venv/.installed $(extras:%=.venv/.installed-%) $(if $(FULL),.venv/.installed-axe)
lists := tools/apt-packages.txt $(wildcard $(extras:%=tools/apt-packages-%.txt)) $(if $(FULL),tools/apt-packages-full.txt)
benches := $(filter-out bench/_%,$(wildcard bench/*.py))

.DEFAULT_GOAL := test
.PHONY: demo test lint system bench lock clean

demo: .venv/.installed
	$(BIN)/optout demo

test: lint system
	$(BIN)/python -m pytest -n 2 --dist worksteal

# All four speak before the first that failed ends the run.
lint: $(stamps)
	@failed=0; for check in "ruff check --quiet --output-format concise ." "ruff format --check ." mypy "lint-imports --no-logo"; do \
		echo "$$check"; $(BIN)/$$check || failed=1; done; exit $$failed

system:
	@tools/system.sh $(lists)

bench: $(stamps)
	@failed=0; for bench in $(benches); do echo "== $$bench"; $(BIN)/python "$$bench" || failed=1; done; exit $$failed

lock:
	tools/lock.sh "$$(tools/find_python.sh)"

clean:
	rm -rf .venv build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# The stamps are files of the environment itself, so that they go when it goes.
.venv/.installed: requirements.lock pyproject.toml $(wildcard setup.py optout/audit/*.c)
	@tools/install.sh requirements.lock
	@touch $@

.venv/.installed-axe: tools/axe.sh tools/axe/package-lock.json .venv/.installed
	@tools/axe.sh
	@touch $@

.venv/.installed-%: requirements-%.lock .venv/.installed
	@tools/install.sh $<
	@touch $@
