# Two commands set everything up: `make quickstart` and `make test`. The rest is for those who work on Spanmill.

PYTHON ?= python3.11
VENV ?= .venv
ENGINES ?= .venv-engines
RUN ?= runs/quickstart
BIN := $(VENV)/bin

.PHONY: quickstart test test-engines lint bench clean

quickstart: $(VENV)/.ready  ## The whole line on this machine's own Python, ending with an infilled snippet
	@$(BIN)/spanmill run --config configs/quickstart.toml --output $(RUN)
	@echo
	@echo "What the model puts between examples/prefix.py and examples/suffix.py (it has seen 200 steps; judge it kindly):"
	@$(BIN)/spanmill sample $(RUN) --prefix examples/prefix.py --suffix examples/suffix.py --max-tokens 40 --temperature 0.4

test: $(VENV)/.ready  ## Everything that CI runs: lint, types, import rules, tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest

# Spark, Flink, Dataflow's checks, S3 and GCS servers: they need Java 17 and Maven, and an environment of their own (1.5 GB).
test-engines: $(ENGINES)/.ready  ## The line on real clusters and object stores, byte for byte as on this machine
	@$(ENGINES)/bin/pytest tests/storage tests/pipelines/test_dataflow.py tests/engines

lint: $(VENV)/.ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.ready  ## Tables of speed beside the peers, who get an environment of their own in .venv-bench
	@$(BIN)/python benchmarks/stages.py
	@$(BIN)/python benchmarks/stages.py --environment --without-peers
	@$(BIN)/python benchmarks/engine.py
	@$(BIN)/python benchmarks/dedup_scale.py

# torch is several GB: the first set-up takes a minute or two of downloads.
$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python 3.11 or newer is needed as '$(PYTHON)'; name another with: make PYTHON=python3.12 …"; exit 1; }
	@echo "Installing Spanmill and its dependencies into $(VENV) (a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

$(ENGINES)/.ready: pyproject.toml constraints.txt
	@test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES)
	@echo "Installing Spanmill, Spark and the clients of object stores into $(ENGINES) (a few minutes the first time) …"
	@$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engines]'
	@touch $@

clean:
	rm -rf $(VENV) $(ENGINES) .venv-bench .cache runs build *.egg-info
