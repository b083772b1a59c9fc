# Two commands do everything: `make run` and `make test`. Both make .venv and install what they need.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --quiet --no-compile  # Python compiles what is imported, when it is

.PHONY: run test check bench bench-service soak clean

run: .venv/run.stamp  ## the service and its page on http://127.0.0.1:8000, with the shipped model
	@$(BIN)/spiccato serve $(ARGS)

test: .venv/test.stamp  ## check, then every test, on two cores; ARGS="-n 0 tests/test_x.py" runs one file in one process
	@$(BIN)/python -m tests.kernels & $(MAKE) --no-print-directory check && wait
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/test.stamp  ## style, types, the page's modules
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@if command -v node >/dev/null; then node --test --test-reporter=dot tests/client/*.test.mjs; \
	else echo "skipped: the tests of the page's modules, node is not installed"; fi

bench: .venv/bench.stamp  ## what a frame costs beside other engines in the same run, and what a session adds
	@$(BIN)/python -m tests.bench_engine $(ARGS)
	@$(BIN)/python -m tests.bench_session

bench-service: .venv/bench.stamp  ## what one process of the service bears: 1 to 1000 live sessions, about four minutes
	@$(BIN)/python -m tests.bench_service $(ARGS)
	@$(BIN)/python -m tests.bench_hostile

soak: .venv/test.stamp  ## a real server under load, ARGS="--minutes 60": nothing of it may grow; writes build/soak.json
	@$(BIN)/python -m tests.soak $(ARGS)

clean:  ## everything that these targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Spiccato needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	@tools/debian-packages run
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing Spiccato into .venv"
	@$(PIP) --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	@tools/debian-packages test
	@echo "installing the test and training tools into .venv (PyTorch among them)"
	@$(PIP) --editable '.[train,test,chips,cluster]'
	@$(PIP) --no-deps 'norse>=1.1' || echo "Norse is not installed: its tests are skipped"
	@touch $@

.venv/bench.stamp: .venv/test.stamp
	@echo "installing what the engine is measured beside"
	@if $(PIP) --editable '.[bench]'; then touch $@; else echo "not installed: the tables name what they lack"; fi
