# `make help` lists the targets. Every one of them makes the environment first, when it is missing or out of date.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := hw_model model_zoo pipelines
SOURCES := $(PACKAGES) tests benchmarks examples
# Two workers suit the smallest machine this is meant for; `make test WORKERS=8` on a larger one.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup lock proto demo test test-fast test-slow test-backends lint types imports format assets wheel bench tables cost-models clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv and install the package with everything it needs

# The stamp is written last: an interrupted installation is taken up again by the next call.
$(STAMP): setup.cfg constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or say make PYTHON=/path/to/python3.11" >&2; exit 4; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[all,test]'
	touch $@

demo: $(STAMP)  ## the main job on real images: load, cost, fine-tune, int8, re-search; under 5 minutes
	$(BIN)/python examples/demo.py

test: lint types imports test-fast  ## lint, types, import contracts and the fast tests

test-fast: $(STAMP)  ## the fast tests alone
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)  ## the tests that train, convert or install
	$(PYTEST) -m slow

# JAX and torch are optional: a backend that is not installed is named and skipped.
test-backends: $(STAMP)  ## the backend-neutral tests on JAX and torch, where installed
	@for backend in jax torch; do \
		if $(BIN)/python -c "import $$backend" 2>/dev/null; then \
			echo "backend $$backend"; KERAS_BACKEND=$$backend $(PYTEST) -m "backends and not slow" || exit 1; \
		else echo "backend $$backend: not installed, skipped"; fi; \
	done

lint: $(STAMP)  ## ruff: rules and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(STAMP)  ## mypy
	$(BIN)/mypy

imports: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports

format: $(STAMP)  ## rewrite the sources in house format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Without root, into the folder EDGEZOO_ASSETS names (default ~/.cache/edgezoo/assets).
assets: $(STAMP)  ## fetch the pictures that composed_scenes is made of, from Debian packages
	$(BIN)/edgezoo data composed_scenes --download

wheel: $(STAMP)  ## build dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

BENCHMARKS := startup parity cost_vs_published paper_relations simulator_agreement memory_vs_compiler cost_speed \
	cost_service learned_cost pruning export_speed preset_loading training_speed search_overhead nas_bench_macro accuracy segmentation_outputs \
	text_utilization
bench: $(STAMP)  ## measure what the READMEs show, on an idle machine, but searches that train and what needs SQuAD; then draw the tables
	for script in $(BENCHMARKS); do $(BIN)/python benchmarks/$$script.py || exit 1; done
	$(BIN)/python benchmarks/readme_tables.py

tables: $(STAMP)  ## rewrite the README's tables from benchmarks/results
	$(BIN)/python benchmarks/readme_tables.py

# The generated code is committed, so that an installation needs no compiler for it.
proto: $(STAMP)  ## generate the code of the cost service from hw_model/service/cost.proto
	$(BIN)/python -m pip install --quiet -c constraints.txt grpcio-tools
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. hw_model/service/cost.proto

# Their ids change with any constant of a target; a test says when these are out of date.
COST_MODELS := coral_devboard coral_usb pixel4 pixel6
cost-models: $(STAMP)  ## train the learned cost models that ship; some minutes each
	for name in $(COST_MODELS); do \
		$(BIN)/edgezoo train-cost-model --target $$name --out hw_model/cost/learned_models/$$name.npz || exit 1; \
	done

lock: $(STAMP)  ## write the versions installed now to constraints.txt
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip > constraints.txt

clean:  ## remove what builds and tests leave, not .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
