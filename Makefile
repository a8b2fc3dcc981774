# Two commands for a fresh machine with Python 3.10 to 3.13 and make:
#   make demo    the bundled detector to every format, verified, with a report and an annotated picture, in ./demo
#   make test    the tests; make test-all takes every stored case and experiment, not every n-th
#   make fuzz    10,000 damaged files a reader; the table goes into docs/security.md
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c "$(FITS)" 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-all fuzz lint types format schema benchmark clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 found: install one, or make PYTHON=/path/to/python." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

demo: setup
	$(BIN)/visionport demo --out demo --overwrite

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

test-all: export VISIONPORT_ALL = 1
test-all: test

fuzz: setup
	$(BIN)/python tests/fuzz/run.py --write

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/pyright

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: setup
	$(BIN)/python scripts/compile_schema.py

benchmark: setup
	$(BIN)/python benchmarks/export.py

clean:
	rm -rf $(VENV) demo build dist
