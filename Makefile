# Two commands set everything up: `make quickstart` and `make test`. The rest is for those who work on Spanmill.

# The first that is there and new enough; name another with: make PYTHON=/path/to/python quickstart
PYTHON ?= $(firstword $(foreach each,python3.11 python3.12 python3.13 python3 python,$(shell \
	$(each) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(each))))
VENV ?= .venv
ENGINES ?= .venv-engines
PEERS ?= .venv-peers
RUN ?= runs/quickstart
BIN := $(VENV)/bin

.PHONY: quickstart test test-engines test-peers lint bench clean docs/settings.md

quickstart: $(VENV)/.ready  ## The whole line on this machine's own Python, ending with an infilled snippet
	@$(BIN)/spanmill run --config configs/quickstart.toml --output $(RUN)
	@echo
	@echo "What the model puts between examples/prefix.py and examples/suffix.py (it has seen 200 steps; judge it kindly):"
	@$(BIN)/spanmill sample $(RUN) --prefix examples/prefix.py --suffix examples/suffix.py --max-tokens 40 --temperature 0.4
	@echo
	@echo "Next:  source $(BIN)/activate                    once in each shell: then 'spanmill' is a command"
	@echo "       spanmill stats $(RUN)              what the run holds; plots are in $(RUN)/report/"
	@echo "       cp configs/my_data.toml my.toml        a recipe for your own data, then spanmill run --config my.toml --output runs/my"
	@echo "README.md goes on from here."

test: $(VENV)/.ready  ## Everything that CI runs: lint, types, import rules, tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest --numprocesses=2 --dist=loadfile

# Spark, Flink, Dataflow's checks, S3 and GCS servers: they need Java 17 and Maven, and an environment of their own (1.5 GB).
test-engines: $(ENGINES)/.ready test-peers  ## The line on real clusters and object stores, byte for byte as on this machine
	@$(ENGINES)/bin/pytest tests/storage tests/pipelines/test_dataflow.py tests/engines

# Megatron, datatrove, datasets and Streaming: several GB, for torch comes along.
test-peers: $(PEERS)/.ready  ## Exports read back by the libraries they are written for
	@$(PEERS)/bin/pytest tests/export

lint: $(VENV)/.ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs/settings.md: $(VENV)/.ready  ## The page of all settings, from where they are declared
	@$(BIN)/spanmill settings --markdown > $@.new && mv $@.new $@

bench: $(VENV)/.ready  ## Tables of speed beside the peers, who get an environment of their own in .venv-bench
	@$(BIN)/python benchmarks/stages.py
	@$(BIN)/python benchmarks/stages.py --environment --without-peers
	@$(BIN)/python benchmarks/engine.py
	@$(BIN)/python benchmarks/dedup_scale.py

# torch is several GB: the first set-up takes a few minutes of downloads.
$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(or $(PYTHON),false) -m venv $(VENV) || { echo "Python 3.11 or newer is needed, with its module venv; tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python). Name another with: make PYTHON=/path/to/python …"; exit 1; }
	@echo "Installing Spanmill and its dependencies into $(VENV) (a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

$(ENGINES)/.ready: pyproject.toml constraints.txt
	@test -x $(ENGINES)/bin/python || $(or $(PYTHON),python3) -m venv $(ENGINES)
	@echo "Installing Spanmill, Spark and the clients of object stores into $(ENGINES) (a few minutes the first time) …"
	@$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engines]'
	@touch $@

# Streaming goes in without its dependencies: its limits (numpy below 2.2, transformers below 5) rule out the others' versions, and what
# its MDS files need of them works with newer ones.
$(PEERS)/.ready: pyproject.toml constraints.txt
	@test -x $(PEERS)/bin/python || $(or $(PYTHON),python3) -m venv $(PEERS)
	@echo "Installing Spanmill and the libraries that read its exports into $(PEERS) (a few minutes the first time) …"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps mosaicml-streaming
	@touch $@

clean:
	rm -rf $(VENV) $(ENGINES) $(PEERS) .venv-bench .cache runs build *.egg-info
