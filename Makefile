# make sweep   set up, search, combine, print where the report is
# make test    set up, run the tests that this machine can run, but for the slow ones; the ten slowest are named
# make test-all   those too: a Ray node that dies, a driver whose machine does, a comparison that is cut off, two drivers,
#                 a full disk, a sweep on MNIST, the published figures, simulations at full size
# make check   lint, types, import contracts
# make bench   measured ratios, side by side in one run
PYTHON ?= python3
VENV := .venv
TESTS := --numprocesses 2 --dist worksteal --durations 10
INSTALLED := $(VENV)/.installed

.PHONY: setup sweep test test-all test-running check bench clean

setup: $(INSTALLED)

# Installed again only when what is to be installed changed.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "digits needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

sweep: setup
	$(VENV)/bin/digits sweep --trials 100
	$(VENV)/bin/digits ensemble --top 5

test: setup
	$(VENV)/bin/python -m pytest $(TESTS) -m "not slow"

test-all: setup
	$(VENV)/bin/python -m pytest $(TESTS)

# The slow tests of running and keeping trials.
test-running: setup
	$(VENV)/bin/python -m pytest $(TESTS) -m slow tests/sweeps/running tests/digits_core/runs tests/test_resume.py

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: setup
	$(VENV)/bin/python -m benchmarks.engine
	$(VENV)/bin/python -m benchmarks.memory
	$(VENV)/bin/python -m benchmarks.overhead
	$(VENV)/bin/python -m benchmarks.judging
	$(VENV)/bin/python -m benchmarks.report
	$(VENV)/bin/python -m benchmarks.sweeps
	$(VENV)/bin/python -m benchmarks.search_quality --replays 10

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
