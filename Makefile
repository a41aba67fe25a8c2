# Each target is plain commands; the README shows the same ones.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test quick browser lint smoke docs package bench clean

demo: $(VENV)/.installed
	$(BIN)/pixdt demo --workdir runs/demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# What a change in one place needs, in under two minutes: lint, the import order, saved files, a step
# of each model but the Domain Transfer Network, the commands on a small run with its exports, presets,
# pages, losses, layers, metadata, data and the schedule. Tests that are marked slow are left out.
quick: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow" tests/architecture_test.py \
		tests/commands_test.py tests/saved_files_test.py tests/presets tests/docs tests/losses_test.py \
		tests/layers_test.py tests/export/metadata_test.py tests/data tests/training/schedule_test.py

# What the search client runs on, and a browser for its tests, which are skipped without.
browser:
	npm ci --prefix keras_pixdt/search/client --no-fund --no-audit
	command -v chromium || apt-get install --yes --no-install-recommends chromium

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One of the papers' tables, from the data to the page: a minute for each network.
smoke: $(VENV)/.installed
	$(BIN)/pixdt reproduce yoo2016-table3 --budget smoke --out runs/smoke

docs: $(VENV)/.installed
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

# The wheel and the source distribution, and whether the wheel holds what it should.
package: $(VENV)/.installed
	rm -rf build/package
	$(BIN)/python -m build --outdir build/package
	$(BIN)/twine check --strict build/package/*
	$(BIN)/python -m pytest tests/package_test.py

bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --quiet --editable ".[bench]"
	for name in train_step scaling rendered; do \
		$(BIN)/python benchmarks/$$name.py --output runs/benchmarks/$$name.json || exit 1; \
	done
	$(BIN)/python benchmarks/input_pipeline.py --train-step runs/benchmarks/train_step.json \
		--output runs/benchmarks/input_pipeline.json

# Everything that demo, test and lint need, once, and again when setup.cfg changes.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
