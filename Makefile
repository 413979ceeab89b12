# Every target sets up its own environment in .venv; needs Python >= 3.11 and make only.
PYTHON ?= python3
# The build of torch to install, e.g. TORCH="torch --index-url URL" for another build; any torch >= 2.4 will do.
TORCH ?= torch==2.13.0
# Folder of the four MNIST files for the benchmarks; without it they are fetched from OpenML, or skipped offline.
MNIST ?=
BENCH ?=
# Tests run exports in them. Both ask for a torchvision built for the torch above, which nothing of theirs that we call uses.
WITHOUT_DEPS := norse==1.1.0 spikingjelly==2.0.0
BIN := .venv/bin
# What is imported is compiled then. To compile all that is installed takes longer than to install it.
PIP := $(BIN)/python -m pip install --quiet --no-compile

.PHONY: demo examples test lint types coverage check docs bench-paper bench-solvers clean

# On one thread: on a busy machine two that wait for each other take many times as long, alone they save a quarter.
demo: .venv/.ready-demo
	OMP_NUM_THREADS=1 $(BIN)/python examples/demo.py

# All examples at full size, with their pictures in runs/examples.
examples: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python examples/run_all.py

test: .venv/.ready
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python docs/readability.py

types: .venv/.ready
	$(BIN)/pyright

PROOF_TESTS := $(wildcard tests/test_proof*.py) tests/test_folder_files.py

# Every branch of the exact verifier is tried by its tests.
coverage: .venv/.ready
	$(BIN)/python -m coverage run -m pytest -q -n 0 $(PROOF_TESTS)
	$(BIN)/python -m coverage report

check: lint types test coverage

# The site in docs/_build/html; every warning is an error, and the examples are run.
docs: .venv/.ready
	rm -rf docs/_build docs/gallery
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# The paper's tables; BENCH: more arguments, e.g. BENCH="--small", BENCH="--cells xor-T8-L5 --methods CVX --jobs 2"
bench-paper: .venv/.ready
	$(BIN)/convexsnn bench paper --out runs/paper $(if $(MNIST),--data-dir $(MNIST)) $(BENCH)

# BENCH: more arguments, e.g. BENCH="--programs mnist-ce --betas 0.01 --repeats 5"
bench-solvers: .venv/.ready
	$(PIP) --no-warn-conflicts --editable '.[bench]'
	$(BIN)/python benchmarks/solvers.py $(if $(MNIST),--mnist $(MNIST)) $(BENCH)

.venv/.torch: Makefile
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "convexsnn needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	touch $@

# The library and its command line alone: whoever tries it first should not wait for what only its developers need.
.venv/.ready-demo: .venv/.torch pyproject.toml
	$(PIP) --editable '.[cli]'
	touch $@

# All that its developers need. Without the extra of the documentation, tests of events and of the site are skipped.
.venv/.ready: .venv/.torch pyproject.toml
	$(PIP) --no-warn-conflicts --editable '.[dev,docs]'
	$(PIP) --no-deps $(WITHOUT_DEPS)
	touch $@

clean:
	rm -rf docs/_build docs/gallery .venv .pytest_cache .ruff_cache .hypothesis build dist
