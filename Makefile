# The one interface. Every target makes the virtual environment first, if it is not there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
QUIX   := .venv-quix
WORKERS ?= 2

.PHONY: help setup demo test test-crash test-rebalances test-kernels test-fuzz stack-test screenshots check fmt bench bench-quick bench-setup clean

help:           ## Show this list.
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## Make .venv and install everything, torch included.

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "streamlearn needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[broker,demo,dev,procfile]'
	$(BIN)/streamlearn compile
	touch $@

demo: setup     ## A year of real flights through Kafka into models that learn as they go (DEMO='--rate 5000').
	$(BIN)/streamlearn demo $(DEMO)

test: setup     ## All tests, integration tests against Apache Kafka included (TEST='-k word' WORKERS=0).
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TEST)

test-crash: setup ## Kill the daemon at every named step and by the clock (KILLS=1000 SEED=3 SUMMARY=kills.json).
	CRASH_KILLS=$(KILLS) CRASH_SEED=$(SEED) CRASH_PLAN=$(PLAN) CRASH_SUMMARY=$(SUMMARY) \
	$(BIN)/python -m pytest tests/crash $(TEST)

test-rebalances: setup ## Kill, freeze, add and remove workers at random (REBALANCES=100 SEED=3 SUMMARY=rebalances.json).
	REBALANCES=$(or $(REBALANCES),100) REBALANCES_SEED=$(SEED) REBALANCES_SUMMARY=$(SUMMARY) \
	$(BIN)/python -m pytest tests/chaos $(TEST)

stack-test: setup ## Start docker/compose.yaml for real and look at it from outside (images: docs/stack.md).
	STACK_TEST=1 $(BIN)/python -m pytest tests/stack $(TEST)

test-kernels: setup ## See that no stream compiles anything after `streamlearn compile`; three minutes.
	KERNELS_TEST=1 $(BIN)/python -m pytest tests/kernels $(TEST)

test-fuzz: setup ## Hostile bytes at the decoder, by libFuzzer and by chance (FUZZ_SECONDS=600 SEED=3).
	$(BIN)/python tests/fuzz/fuzz_decode.py --seconds $(or $(FUZZ_SECONDS),60) --seed $(or $(SEED),0)

screenshots: setup ## Take docs/screenshots/ anew, of the live page during the demo; needs Chromium.
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/integration/test_page_of_a_daemon.py

check: setup    ## Format, lint, types; changes nothing.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: setup      ## Format and fix what can be fixed.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-setup ## Measure all contenders side by side; write bench/results.json, docs/plots, docs/performance.md.
	$(BIN)/python -m bench $(BENCH); code=$$?; $(BIN)/python docs/generate.py && exit $$code

bench-quick: bench-setup ## The same in under two minutes, with fewer events, into build/bench.
	$(BIN)/python -m bench --quick $(BENCH)

bench-setup: $(VENV)/.bench $(QUIX)/.installed

$(VENV)/.bench: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]' && touch $@ || \
	  echo "ABSENT: Vowpal Wabbit cannot be installed here; it is measured nowhere" >&2

# It does not go with our pins, so it has an environment of its own. Without it the benchmarks run, and say so.
$(QUIX)/.installed: bench/requirements-quix.txt
	@{ $(PYTHON) -m venv $(QUIX) && $(QUIX)/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@; } || \
	  { rm -rf $(QUIX); echo "ABSENT: Quix Streams cannot be installed here; it is measured nowhere" >&2; }

clean:          ## Remove what was built; the virtual environment stays.
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
