# Two commands do everything on a machine with Python 3.11 or 3.12: make demo, make test.
VENV ?= .venv
BIN := $(VENV)/bin
# the first of these that runs and is a version that MXNet works on
PYTHON ?= $(shell for python in python3.12 python3.11 python3 python; do \
  "$$python" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
  && echo "$$python" && break; done)

.PHONY: demo test test-slow test-torch test-dbt imports lint format bench bench-full docs clean

demo: $(VENV)/.demo ## the main job on public retail data, in about five minutes
	$(BIN)/duckprop demo

test: $(VENV)/.dev ## all tests but the slow ones
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev ## minutes: the real data, the demo from end to end
	$(BIN)/python -m pytest -m slow

test-torch: $(VENV)/.torch ## PyTorch models against PyTorch itself
	$(BIN)/python -m pytest -m torch

imports: $(VENV)/.torch ## how far every kind of import is from its source, into docs/benchmarks/imports.md
	$(BIN)/python -m pytest -m '' --imports-table docs/benchmarks/imports.md tests/test_mxnet_topologies.py \
	  tests/test_torch_live.py tests/test_onnx_import.py tests/test_sklearn_import.py tests/test_fasttext_import.py

test-dbt: ## the dbt example as its README runs it, in a clean virtual environment with nothing else in it
	rm -rf .venv-dbt build/dbt
	$(PYTHON) -m venv .venv-dbt
	.venv-dbt/bin/python -m pip install --quiet '.[dbt]' && rm -rf build/lib build/bdist*
	mkdir -p build/dbt && cp -R examples build/dbt
	cd build/dbt/examples/dbt && sed -n '/^```sh/,/^```/{/^```/!p;}' README.md | PATH="$(CURDIR)/.venv-dbt/bin:$$PATH" sh -eux

lint: $(VENV)/.dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed && $(BIN)/pip install --quiet --no-deps --target build/typed . && rm -rf build/lib build/bdist*
	MYPYPATH=build/typed $(BIN)/mypy -p duckprop

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## under five minutes: duckprop against naive scoring and what else is installed
	$(BIN)/duckprop bench

bench-full: $(VENV)/.peers ## everything, PyTorch and ONNX Runtime too, into docs/benchmarks
	mkdir -p docs/benchmarks
	env -u OPENBLAS_CORETYPE $(BIN)/duckprop bench --full --json docs/benchmarks/bench.json \
	  --markdown docs/benchmarks/bench.md --plots docs/benchmarks

docs: $(VENV)/.dev ## write docs/sql-reference.md, the answers in the tutorial and the how-tos, the figures, the notebook
	$(BIN)/python docs/build_reference.py > docs/sql-reference.md
	$(BIN)/python docs/build_answers.py
	$(BIN)/python docs/build_figures.py
	$(BIN)/python docs/build_notebook.py

clean: ## remove what these targets made, the demo's folder too
	rm -rf $(VENV) .venv-dbt build *.egg-info duckprop-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found"; echo "install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

$(VENV)/.torch: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,torch]'
	touch $@ $(VENV)/.dev $(VENV)/.demo

$(VENV)/.peers: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,peers]'
	touch $@ $(VENV)/.dev $(VENV)/.demo
