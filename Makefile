# Everything happens in .venv; nothing is installed twice (the stamps in it say what is there).
# Another Python: make PYTHON=python3.13 demo

PYTHON ?= python3
GOLD ?= ../shared/gold
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PARALLEL := -n auto --maxprocesses 4 --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check format train bench profile clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN) ## Install what scoring needs, and score the sample feed
	@$(BIN)/tension score --format table
	@echo
	@echo 'Next: $(BIN)/tension explain "Moscow warned Seoul of asymmetric retaliation if it arms Kyiv."'
	@echo '      $(BIN)/tension score FEED_FILE_OR_URL        $(BIN)/tension score --help'

test: $(DEV) ## Run the tests on up to four cores
	$(BIN)/python -m pytest $(PARALLEL)

coverage: $(DEV) ## The same, and show which lines they run (takes longer)
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

check: $(DEV) ## Lint, formatting, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV) ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

train: $(DEV) ## Train a model on GOLD (../shared/gold) into models/, logged to MLflow
	$(BIN)/tension-train run --data $(GOLD)/train.jsonl --data training/corpus --dev $(GOLD)/dev.jsonl

bench: $(DEV) ## Measure speed, start-up and memory (half an hour)
	$(BIN)/python tests/bench.py $(BENCH)

profile: $(DEV) ## Show where the time goes, stage by stage (half a minute)
	$(BIN)/python tests/stages.py $(PROFILE)

clean: ## Remove the environment, caches and build leftovers (not models, not mlflow.db)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find scoring training tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "expected Python 3.11 to 3.13, found $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(DEV): $(RUN)
	$(PIP) --editable '.[speed,encoder,train,spark,notebooks,dev]'
	@touch $@
