PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTENSION := sqlinfer/sqlinfer.duckdb_extension
RUST := udfs/build.py udfs/Cargo.toml udfs/Cargo.lock $(shell find udfs/src -name '*.rs')
# cargo compiles while pip downloads and installs
MAKEFLAGS += --jobs=2

.PHONY: demo test check native bench clean

# with the native extension where it is built; it takes longer to build than all the rest
demo: $(VENV)/demo
	$(BIN)/python examples/flights.py

test: $(VENV)/ready $(EXTENSION)
	$(BIN)/python -m pytest tests --numprocesses logical --maxprocesses 8 --dist worksteal

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd udfs && cargo fmt --check && cargo clippy --all-targets -- -D warnings && cargo test --quiet

native:
	$(PYTHON) udfs/build.py

bench: $(VENV)/ready $(EXTENSION)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/texts.py

$(VENV)/demo: EXTRA = demo
$(VENV)/ready: EXTRA = dev
$(VENV)/demo $(VENV)/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	SQLINFER_NATIVE=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[$(EXTRA)]'
	touch $@

# Without it there is the Arrow engine.
$(EXTENSION): $(RUST)
	-MAKEFLAGS= $(PYTHON) udfs/build.py

clean:
	rm -rf $(VENV) build dist target
