# Needs Python 3.11 or newer (as PYTHON) and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test lint types check chaos simulate bench bench-docs compare lines man clean
help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

.venv/.core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.dev: .venv/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: .venv/.core  ## write a sample volume, smooth it block by block
	$(BIN)/blockmill volume create demo/cells.json --if-missing
	$(BIN)/blockmill run configs/demo.yaml

test: .venv/.dev  ## all tests
	$(BIN)/python -m pytest -q

lint: .venv/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## basedpyright
	$(BIN)/basedpyright --pythonpath $(BIN)/python

check: lint types test  ## what CI runs

SEEDS ?= 1 2 3
SIGNALS ?= 300
chaos: .venv/.dev  ## kill everything at random moments, see that nothing is lost; SEEDS="1 2 3" SIGNALS=300
	cd tests && ../$(BIN)/python -m chaos $(SEEDS) --signals $(SIGNALS)

.venv-bench/.bench: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

bench: .venv-bench/.bench  ## race with the peers, into build/bench; QUICK=1: two minutes, CASE=name: that case alone
	.venv-bench/bin/python benchmarks/run.py $(if $(QUICK),--quick) $(addprefix --case ,$(CASE))
	.venv-bench/bin/python benchmarks/report.py $(if $(QUICK),--quick)

bench-docs: .venv-bench/.bench  ## publish what `make bench` found: benchmarks/results, docs/performance*
	.venv-bench/bin/python benchmarks/report.py --publish

simulate: .venv/.dev  ## the coordinator alone, a million blocks
	$(BIN)/python benchmarks/simulate_coordinator.py

compare: .venv/.core  ## speed and memory against BASE=path of another checkout, in turns; 20 minutes
	@test -n '$(BASE)' || { echo "make compare BASE=path of the checkout to compare with"; exit 2; }
	$(BIN)/python benchmarks/compare.py '$(BASE)' . $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROWS),--rows $(ROWS)) --results build/compare.json

lines:  ## code lines of each package; OTHER=path: compared with another checkout
	@$(PYTHON) tools/code_lines.py $(if $(OTHER),--compare '$(OTHER)')

man: .venv/.core  ## manual pages, into man/
	$(BIN)/blockmill man

clean:  ## remove the environment and the demo's files
	rm -rf .venv .venv-bench demo man build dist *.egg-info
