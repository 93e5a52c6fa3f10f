# Needs Python 3.11 or newer (as PYTHON) and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-quick test-lowest test-newest dist lint unasync summaries types check upgrade break chaos \
    simulate bench bench-docs compare lines man clean
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

JOBS ?= 2
PARALLEL := --numprocesses $(JOBS) --dist loadgroup

test: .venv/.dev  ## all tests, JOBS=2 at a time; 6 minutes at most
	@echo "all tests, $(JOBS) at a time: about 5 minutes on two cores that do nothing else (make test-quick: one minute)"
	$(BIN)/python -m pytest -q $(PARALLEL)

test-quick: .venv/.dev  ## those that start no services, runs or workers; a minute
	@echo "unit tests alone, $(JOBS) at a time: about one minute on two cores that do nothing else"
	$(BIN)/python -m pytest -q $(PARALLEL) -m 'not processes'

# Environments with other versions than those of .venv: unit tests and the demo run in each.
PIP := -m pip install --quiet --disable-pip-version-check
define unit_tests_and_demo
	$(1)/bin/python -m pytest -q -p no:cacheprovider $(PARALLEL) -m 'not processes'
	$(1)/bin/python -P tools/try_demo.py
endef

.venv-lowest/.test: pyproject.toml tools/lowest_bounds.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) tools/lowest_bounds.py test > .venv-lowest/lowest.txt
	.venv-lowest/bin/python $(PIP) --only-binary :all: -r .venv-lowest/lowest.txt
	.venv-lowest/bin/python $(PIP) --no-deps -e .
	@touch $@

test-lowest: .venv-lowest/.test  ## unit tests and the demo with the lowest versions that pyproject.toml declares
	$(call unit_tests_and_demo,.venv-lowest)

.venv-3.%/.test: pyproject.toml
	"$$(tools/find_python 3.$*)" -m venv --clear .venv-3.$*
	.venv-3.$*/bin/python $(PIP) -e '.[test]'
	@touch $@

.PRECIOUS: .venv-3.%/.test
test-on-3.%: .venv-3.%/.test
	$(call unit_tests_and_demo,.venv-3.$*)

NEWER := 3.12 3.13
test-newest:  ## unit tests and the demo with the newest versions, on Python 3.12 and 3.13 where they are found
	@for version in $(NEWER); do \
	    if tools/find_python $$version > /dev/null; then $(MAKE) --no-print-directory test-on-$$version || exit 1; \
	    else echo "skipped: no Python $$version on the PATH nor below ~/.pyenv/versions"; fi; \
	done

dist: .venv/.dev  ## sdist and wheel into dist/; the demo runs from the wheel, without the checkout
	rm -rf dist .venv-dist
	$(BIN)/python -P -m build --outdir dist . > dist.log 2>&1 || { cat dist.log; exit 1; }
	@rm dist.log
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python $(PIP) dist/*.whl
	.venv-dist/bin/python -P tools/try_demo.py --installed

lint: .venv/.dev  ## ruff: rules and format; files that are made from others
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/unasync.py --check
	$(BIN)/python tools/summaries.py --check

unasync:  ## make the client for threads from the one for asyncio
	$(PYTHON) tools/unasync.py

summaries: .venv/.core  ## make the table of verbs for the command's help
	$(BIN)/python tools/summaries.py

types: .venv/.dev  ## basedpyright
	$(BIN)/basedpyright --pythonpath $(BIN)/python

check: lint types test test-lowest test-newest dist  ## what CI runs; 15 minutes

OLD ?= 70fb23e
.venv-old-%/.upgrade:
	@git cat-file -e '$*^{commit}' || { echo "make upgrade OLD=commit: there is no commit $* here"; exit 2; }
	$(PYTHON) -m venv --clear .venv-old-$*
	mkdir .venv-old-$*/src && git archive '$*' | tar x -C .venv-old-$*/src
	.venv-old-$*/bin/python $(PIP) .venv-old-$*/src
	@touch $@

.PRECIOUS: .venv-old-%/.upgrade
upgrade: .venv/.dev .venv-old-$(OLD)/.upgrade  ## from OLD=commit (version 0.1.0) and back: state, clients, outputs; a minute
	$(BIN)/python tools/try_upgrade.py .venv-old-$(OLD)/bin/blockmill $(BIN)/blockmill

SOAK_S ?= 30
break: .venv/.dev  ## break disks, bytes, processes, limits and the wire on purpose; SOAK_S=30; best as root
	BLOCKMILL_BREAK_SOAK_S=$(SOAK_S) $(BIN)/python -m pytest -q -ra $(PARALLEL) -m breaking

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
	rm -rf .venv .venv-* demo man build dist *.egg-info
