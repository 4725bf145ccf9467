PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check native bench clean

demo: $(VENV)/demo
	$(BIN)/python examples/flights.py

test: $(VENV)/ready
	$(BIN)/python -m pytest tests

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd udfs && cargo fmt --check && cargo clippy --all-targets -- -D warnings && cargo test --quiet

native: $(VENV)/ready
	$(BIN)/python udfs/build.py

bench: $(VENV)/ready
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/texts.py

$(VENV)/demo: EXTRA = examples
$(VENV)/ready: EXTRA = dev
$(VENV)/demo $(VENV)/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]'
	touch $@

clean:
	rm -rf $(VENV) build dist target
