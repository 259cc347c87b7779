# `make demo` and `make test` are all a newcomer needs: Debian, Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: venv demo test test-faults gate check docs bench lock clean

venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null; then \
		VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --requirement requirements.lock && \
		VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable . ; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . ; \
	fi
	@touch $(STAMP)

demo: venv
	@$(BIN)/python examples/demo.py

test: venv
	@$(BIN)/python -m pytest -n auto

test-faults: venv
	@FAULTS_CASE="$(CASE)" $(BIN)/python -m pytest tests/faults -m faults -s

gate: venv
	@test -d "$(MOTO)/tests" || { echo "make gate MOTO=FOLDER: moto's repository or source, as it is pinned"; exit 2; }
	@MOTO_TESTS="$(abspath $(MOTO))" $(BIN)/python -m pytest -n0 tests/moto_gate -s

check: venv
	@$(BIN)/ruff format --check src tests bench examples
	@$(BIN)/ruff check src tests bench examples
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: venv
	@$(BIN)/python -m mlplat.localcloud.operations docs/local-cloud.md

bench: venv
	@for each in bench/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

lock: venv
	@$(BIN)/uv pip compile pyproject.toml --extra local --group dev --python-version 3.11 --upgrade \
		--no-annotate --no-header --no-emit-index-url --quiet --output-file requirements.lock

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .pytest_cache dist build
