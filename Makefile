# Short commands for common work. `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
# `uv` from the PATH, or a copy in .venv-uv.
UV = $(shell command -v uv || echo .venv-uv/bin/uv)
CORES ?= 2
BIN = .venv/bin

.PHONY: help setup quickstart explore test test-browser test-docs test-faults soak test-slurm test-old-lens slurm-demo docs lint format audit claims bench bench-against gpu-check findings clean

help:  ## List these targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.ready  ## Make .venv with all dependencies, from uv.lock

# Compile bytecode now: every job is a process, and would otherwise compile the modules that it imports.
.venv/.ready: pyproject.toml uv.lock
	@echo "Making .venv: two minutes, or longer if 3.4 GB of packages must be downloaded."
	@command -v $(UV) > /dev/null || ( $(PYTHON) -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv )
	@$(UV) sync --locked --quiet --compile-bytecode
	@touch $@
	@echo "Made .venv. Next: make quickstart. docs/start.md leads to a figure of your own in ten minutes."

quickstart: setup  ## Train two real networks until they grok, and draw the main figures
	@$(BIN)/snakemake -c$(CORES) quickstart
	@echo
	@$(BIN)/progress-measures describe quickstart --story
	@echo
	@echo "Open  results/quickstart/explorer/index.html         replay the training"
	@echo "      results/quickstart/figures/paper/fig02.png   test accuracy reaches 1 long after train accuracy"
	@echo "      results/quickstart/figures/paper/fig07.png   the progress measures change before the test loss falls"
	@echo "Print $(BIN)/python -c 'from progress_measures import open_cube; print(open_cube(\"quickstart\"))'"
	@echo "Next  $(BIN)/snakemake -c$(CORES) results/figures/paper/fig07.pdf --config cubes=published   a network with the paper's settings, in seconds"

explore: setup  ## Open the explorer of the published networks
	$(BIN)/progress-measures explore

test: setup lint  ## Check the code, then run the test suite without the tests that need Slurm or a browser, or take long
	$(BIN)/pytest -m "not slurm and not browser and not docs and not faults and not old_lens" --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder

test-browser: setup  ## Test the explorer in a real Chromium (Debian's, or $$CHROMIUM)
	$(BIN)/pytest -m browser --numprocesses $(CORES) tests

test-docs: setup  ## Run the code blocks of the README and of docs/, and compare their output
	$(BIN)/pytest -m docs --numprocesses $(CORES) --dist loadgroup tests

test-faults: setup  ## Kill and interrupt every stage of the workflow, damage its files, and count lost results
	$(BIN)/pytest -m faults --numprocesses $(CORES) --dist loadgroup --trials $(or $(TRIALS),3) --one-in $(or $(ONE_IN),1) tests/faults

soak: setup  ## Run the fault tests for hours: kill each stage TRIALS times, and try most other faults a third as often
	$(MAKE) test-faults TRIALS=$(or $(TRIALS),100)

test-slurm: setup  ## Start a real Slurm (as root, with slurm-wlm and munge) and test training on it
	$(BIN)/pytest -m slurm tests

test-old-lens: setup  ## Load exported files in versions 2 and 3 of TransformerLens, which are downloaded
	$(BIN)/pytest -m old_lens tests

slurm-demo: setup  ## Start a real Slurm on this machine (as root), run the quickstart on it, and stop it
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/slurm/lab.py snakemake --profile slurm quickstart
	@$(BIN)/progress-measures describe quickstart --story

docs: setup  ## Draw figures from the published cubes, and build the documentation: site/index.html
	$(BIN)/snakemake -c$(CORES) all --config cubes=published
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open  site/index.html"

lint: setup  ## Run ruff, mypy, codespell, snakefmt, snakemake --lint, and check generated files
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
	$(BIN)/python -m progress_measures.pages.packages

audit: setup  ## Check the packages in uv.lock for known vulnerabilities, over the network
	set -o pipefail; $(UV) export --locked --quiet --no-emit-project | \
	  $(UV) tool run pip-audit --requirement /dev/stdin --disable-pip --require-hashes --strict

claims: setup  ## Judge every claim on the published cubes, and write docs/claims.md
	$(BIN)/progress-measures claims --cubes published --page docs/claims.md

bench: setup  ## Time training and measuring, and compare with the notebook's code
	$(BIN)/python benchmarks/bench.py

bench-against: setup  ## Compare the costs of revision REV with this one: make bench-against REV=f1318e7 OPTIONS="--quickstart"
	$(BIN)/python benchmarks/against.py $(REV) $(OPTIONS)

gpu-check: setup  ## Check training on this machine's GPU against the CPU, in at most four minutes
	$(BIN)/python benchmarks/gpu_check.py

findings:  ## Run the scripts of findings/, which download pinned packages and show unexpected behavior
	@failed=0; for script in findings/*.sh; do echo "== $$script"; bash $$script || failed=1; done; exit $$failed

clean:  ## Remove results, including trained runs, but not environments and published/
	rm -rf .snakemake results/*/ results/*.json results/claims.md results/.fingerprints site
