# Every target is self-sufficient: it needs only Python 3.10+ with pip, and builds .venv first.
# pip's own variables pass through, for example on a machine without a GPU:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test
PYTHON ?= python3
WORKERS ?= 2

# Workers share the cores: one thread each, or they slow each other down.
export OMP_NUM_THREADS ?= 1

BIN := .venv/bin
FAULTS := $(addprefix tests/campaigns/test_, faults.py other_faults.py full_outputs.py)
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test docs faults inputs campaigns clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## Train end to end and locally on street scenes, side by side.
	$(BIN)/python tools/demo.py

test: $(STAMP)  ## Lint, check types, run the tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs work_dirs/site
	$(BIN)/python -m pytest -n $(WORKERS)

docs: $(STAMP)  ## Build the documentation into work_dirs/site; any warning is an error.
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs work_dirs/site

faults: $(STAMP)  ## Kill runs by the dozen: nothing is lost, torn or different.
	$(BIN)/python -m pytest -n $(WORKERS) -m campaign -rP $(FAULTS)

inputs: $(STAMP)  ## Give every tool bad inputs: one sentence each, and nothing is lost.
	$(BIN)/python -m pytest -n $(WORKERS) -m campaign tests/campaigns/test_bad_inputs.py

campaigns: $(STAMP)  ## All campaigns: faults, bad inputs, fits, pipelines, tutorial, demo, browser.
	$(BIN)/python -m pytest -n $(WORKERS) -m campaign tests

clean:  ## Remove .venv and the caches.
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[onedl,dev]'
	touch $@
