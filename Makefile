# Two commands set everything up: `make quickstart` and `make test`. The rest is for those who work on Spanmill.

PYTHON ?= python3.11
VENV ?= .venv
RUN ?= runs/quickstart
BIN := $(VENV)/bin

.PHONY: quickstart test lint bench clean

quickstart: $(VENV)/.ready  ## The whole line on this machine's own Python, ending with an infilled snippet
	@$(BIN)/spanmill run --config configs/quickstart.toml --output $(RUN)
	@echo
	@echo "What the model puts between examples/prefix.py and examples/suffix.py (it has seen 200 steps; judge it kindly):"
	@$(BIN)/spanmill sample $(RUN) --prefix examples/prefix.py --suffix examples/suffix.py --max-tokens 40 --temperature 0.4

test: $(VENV)/.ready  ## Everything that CI runs: lint, types, import rules, tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest

lint: $(VENV)/.ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.ready  ## Tables of speed beside the peers, who get an environment of their own in .venv-bench
	@$(BIN)/python benchmarks/stages.py
	@$(BIN)/python benchmarks/stages.py --environment --without-peers

# torch is several GB: the first set-up takes a minute or two of downloads.
$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python 3.11 or newer is needed as '$(PYTHON)'; name another with: make PYTHON=python3.12 …"; exit 1; }
	@echo "Installing Spanmill and its dependencies into $(VENV) (a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-bench runs build *.egg-info
