# make sweep   set up, search, combine, print where the report is
# make test    set up, run the tests that this machine can run, but for the slow ones; the ten slowest are named
# make test-all   those too: a Ray node that dies, a driver whose machine does, a comparison that is cut off, two drivers,
#                 a full disk, a sweep on MNIST, the published figures, simulations at full size
# make check   lint, types, import contracts
# make bench   measured ratios, side by side in one run
#
# Without a GPU, TORCH_BACKEND=cpu leaves CUDA out: make sweep TORCH_BACKEND=cpu. It needs uv, which knows where PyTorch
# keeps its builds (cpu, cu130, auto and so on).
PYTHON ?= python3
VENV := .venv
TESTS := --numprocesses 2 --dist worksteal --durations 10
# What was asked for once holds until it is asked for otherwise: `make test` after `make sweep TORCH_BACKEND=cpu` stays with cpu.
TORCH_BACKEND ?= $(patsubst $(VENV)/.installed-%,%,$(wildcard $(VENV)/.installed-*))
# The tests start hundreds of processes; each would compile the same files again.
export PYTHONDONTWRITEBYTECODE :=
INSTALLED := $(VENV)/.installed$(addprefix -,$(TORCH_BACKEND))

.PHONY: setup sweep test test-all test-running check bench clean

setup: $(INSTALLED)

# Installed again only when what is to be installed changed.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "digits needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"'
ifeq ($(TORCH_BACKEND),)
	@echo "installing into $(VENV): 7.2 GB, of which 4.5 GB are for NVIDIA GPUs on Linux; to leave those out (needs uv): make $(or $(MAKECMDGOALS),setup) TORCH_BACKEND=cpu"
	$(PYTHON) -m venv $(if $(wildcard $(VENV)/.installed-*),--clear) $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' || \
		{ echo "not installed: see above; if a package could not be downloaded, check the network or pip's index, and run make again" >&2; exit 1; }
else
	@command -v uv >/dev/null || { echo "TORCH_BACKEND needs uv, which picks the build of torch: pip install uv, then run make again; or run make with TORCH_BACKEND=" >&2; exit 1; }
	@echo "installing into $(VENV), with torch for $(TORCH_BACKEND)"
	uv venv --quiet --clear --python $(PYTHON) $(VENV)
	@uv pip install --quiet --python $(VENV)/bin/python --torch-backend $(TORCH_BACKEND) --constraint constraints.txt --editable '.[dev]' || \
		{ echo "not installed: see above; if PyTorch's own index cannot be reached from here, run make with TORCH_BACKEND=" >&2; exit 1; }
endif
	rm -f $(VENV)/.installed*
	touch $@

sweep: setup
	$(VENV)/bin/digits sweep --trials 100
	$(VENV)/bin/digits ensemble --top 5

test: setup
	$(VENV)/bin/python -m pytest $(TESTS) -m "not slow"

# MLflow's server has an environment of its own: it wants other versions than we do.
test-all: setup $(VENV)-mlflow/.installed
	$(VENV)/bin/python -m pytest $(TESTS)

$(VENV)-mlflow/.installed:
	$(PYTHON) -m venv $(VENV)-mlflow
	$(VENV)-mlflow/bin/python -m pip install --quiet --disable-pip-version-check mlflow==3.17.2
	touch $@

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
	$(VENV)/bin/python -m benchmarks.stacking
	$(VENV)/bin/python -m benchmarks.memory
	$(VENV)/bin/python -m benchmarks.overhead
	$(VENV)/bin/python -m benchmarks.judging
	$(VENV)/bin/python -m benchmarks.report
	$(VENV)/bin/python -m benchmarks.sweeps
	$(VENV)/bin/python -m benchmarks.search_quality --replays 10

clean:
	rm -rf $(VENV) $(VENV)-mlflow build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
