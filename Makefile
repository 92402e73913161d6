# The words people say. `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
# `uv` from the PATH, else one of our own.
UV = $(shell command -v uv || echo .venv-uv/bin/uv)
CORES ?= 2
BIN = .venv/bin

.PHONY: help setup quickstart explore test test-browser test-docs test-faults soak test-slurm slurm-demo docs lint format audit claims bench findings clean

help:  ## List these targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.ready  ## Make .venv with everything in it, from uv.lock

# Compiled at once: each job is a process, which should not compile what it imports.
.venv/.ready: pyproject.toml uv.lock
	@echo "Making .venv: two minutes, and more where 3.4 GB of packages have to be fetched."
	@command -v $(UV) > /dev/null || ( $(PYTHON) -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv )
	@$(UV) sync --locked --quiet --compile-bytecode
	@touch $@
	@echo "Made .venv. Next: make quickstart; docs/start.md is ten minutes from here to a figure of your own."

quickstart: setup  ## Train three real networks until they grok, and draw the main figures
	$(BIN)/snakemake -c$(CORES) quickstart
	@$(BIN)/progress-measures describe quickstart
	@echo
	@echo "Open  results/quickstart/explorer/index.html         the page on which to watch them grok"
	@echo "      results/quickstart/figures/paper/fig02.png   all three grok: test accuracy goes to 1 after train accuracy"
	@echo "      results/quickstart/figures/paper/fig07.png   the progress measures move before the test loss does"
	@echo "Ask   $(BIN)/python -c 'from progress_measures import open_cube; print(open_cube(\"quickstart\"))'"
	@echo "Next  $(BIN)/snakemake -c$(CORES) results/figures/paper/fig07.pdf --config cubes=published   the paper's own network, in seconds"

explore: setup  ## Open the explorer of the published networks
	$(BIN)/progress-measures explore

test: setup lint  ## Check the code, then run the whole test suite, but for what needs a Slurm or a browser, or takes long
	$(BIN)/pytest -m "not slurm and not browser and not docs and not faults" --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

test-browser: setup  ## Drive the explorer in a real Chromium (Debian's, or $$CHROMIUM)
	$(BIN)/pytest -m browser --numprocesses $(CORES) tests

test-docs: setup  ## Follow the pages of docs/ to the letter
	$(BIN)/pytest -m docs --numprocesses $(CORES) --dist loadgroup tests

test-faults: setup  ## Kill, starve and damage every stage that data takes, and count what is lost
	$(BIN)/pytest -m faults --numprocesses $(CORES) --dist loadgroup --trials $(or $(TRIALS),3) --one-in $(or $(ONE_IN),1) tests/faults

soak: setup  ## The same for hours: TRIALS kills of each stage, and a third as many of most other faults
	$(MAKE) test-faults TRIALS=$(or $(TRIALS),100)

test-slurm: setup  ## Start a real Slurm (as root, with slurm-wlm and munge) and put it through its paces
	$(BIN)/pytest -m slurm tests

slurm-demo: setup  ## Start a real Slurm on this machine (as root), run the quickstart on it, stop it
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/slurm/lab.py snakemake --profile slurm quickstart
	@$(BIN)/progress-measures describe quickstart

docs: setup  ## Draw what the published cubes cover, and build the documentation: site/index.html
	$(BIN)/snakemake -c$(CORES) all --config cubes=published
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open  site/index.html"

lint: setup  ## ruff, mypy, codespell, snakefmt, snakemake --lint, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/progress-measures schema --check
	$(UV) lock --check --quiet

format: setup  ## Format Python and Snakemake files, and write generated ones
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow
	$(BIN)/progress-measures schema

audit: setup  ## Ask PyPI's advisories, over the network, about every package in uv.lock
	set -o pipefail; $(UV) export --locked --quiet --no-emit-project | \
	  $(UV) tool run pip-audit --requirement /dev/stdin --disable-pip --require-hashes --strict

claims: setup  ## Judge every published statement on the published cubes, and write docs/claims.md
	$(BIN)/progress-measures claims --cubes published --page docs/claims.md

bench: setup  ## Time training and measuring against the notebook's way
	$(BIN)/progress-measures bench all --threads 1

findings:  ## Run the scripts of findings/, which install pinned packages over the network and show surprises in them
	@failed=0; for script in findings/*.sh; do echo "== $$script"; bash $$script || failed=1; done; exit $$failed

clean:  ## Remove results, trained runs among them, not environments nor published/
	rm -rf .snakemake results/*/ results/*.json results/claims.md results/.fingerprints site
