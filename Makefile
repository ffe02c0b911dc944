# make demo   the whole job, offline, on this machine
# make test   lint, types and tests (under 10 minutes on 2 cores)
# make bench  speed beside the scripts that people run today; QUICK=1 for the main ratios within 10 minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests; models in tests are so small that each needs one core.
TEST_WORKERS ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow golden bench bench-table lint format install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --build-constraint constraints.txt -e ".[test]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/acclimate demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow or not slow" --timeout 3600

golden: $(STAMP)
	$(BIN)/python -m tests.golden

bench: $(STAMP)
	$(BIN)/python bench/run.py $(if $(QUICK),--quick)

bench-table: $(STAMP)
	$(BIN)/python bench/run.py --table

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist src/*.egg-info
