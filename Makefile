PYTHON ?= python3
VENV := .venv
FLOORS := .venv-floors
BIN := $(VENV)/bin
EXTENSION := sqlinfer/sqlinfer.duckdb_extension
# Without cargo there is the Arrow engine, unless SQLINFER_NATIVE is 1; with 0 it is not built.
NATIVE := $(if $(filter 0,$(SQLINFER_NATIVE)),,$(EXTENSION))
RUST := udfs/build.py udfs/Cargo.toml udfs/Cargo.lock $(shell find udfs/src -name '*.rs')
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
PYTEST := -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal
# What meets each of the packages that have a lowest version.
OLDEST := tests/estimators tests/cli tests/faces $(addprefix tests/serve/test_,clients.py openapi.py requests.py) tests/unit/test_convert.py \
	$(addprefix tests/sql/test_,answers.py texts.py images.py nulls.py operators.py relations.py rows.py types.py)
# cargo compiles while pip downloads and installs
MAKEFLAGS += --jobs=2
# The tests' processes have all cores already: threads that wait for one another double the time of small models.
test test-fast floors pythons compiled tools browser spark: export OMP_NUM_THREADS := 1

.PHONY: ready demo test test-fast check floors wheel pythons compiled tools browser spark native bench clean

# with the native extension where it is built; it takes longer to build than all the rest
demo: $(VENV)/demo
	$(BIN)/python examples/flights.py

test: $(VENV)/ready $(NATIVE)
	$(BIN)/python $(PYTEST) tests

# what all of it needs
ready: $(VENV)/ready $(NATIVE)

# something of everything, on the engines in turn, in about a minute
test-fast: $(VENV)/ready $(NATIVE)
	$(BIN)/python $(PYTEST) --fast tests

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd udfs && cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings && cargo test --locked --quiet

# the oldest versions that pyproject.toml allows; what they call deprecated is no news
floors: $(FLOORS)/ready $(NATIVE)
	$(FLOORS)/bin/python $(PYTEST) --fast $(OLDEST) -W ignore::DeprecationWarning -W ignore::FutureWarning
	$(FLOORS)/bin/python $(PYTEST) tests/test_readme.py tests/unit/test_foreign_files.py -W ignore::DeprecationWarning -W ignore::FutureWarning

# dist/: what a user installs, with the extension inside
wheel: $(NATIVE)
	.ci/wheel

# a bare environment of each with the wheel
pythons: wheel
	.ci/pythons 3.11 3.12 3.13

# with sqlglot's compiled parser
compiled: $(VENV)/ready $(NATIVE)
	.ci/compiled

# dbt, SQLMesh, JupySQL, … as docs/tools.md shows them
tools: $(VENV)/ready $(NATIVE)
	.ci/tools

# the page of `sqlinfer serve` in a real browser
browser: $(VENV)/ready $(NATIVE)
	.ci/browser

# a real Spark
spark: $(VENV)/ready $(NATIVE)
	.ci/spark

native:
	$(PYTHON) udfs/build.py

bench: $(VENV)/ready $(NATIVE)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/texts.py

$(VENV)/demo: EXTRA = demo
$(VENV)/ready: EXTRA = dev
$(VENV)/demo $(VENV)/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	SQLINFER_NATIVE=0 $(BIN)/python $(PIP_INSTALL) --editable '.[$(EXTRA)]'
	touch $@

$(FLOORS)/ready: pyproject.toml .ci/floors.py $(VENV)/ready
	"$$(.ci/python 3.11)" -m venv --clear $(FLOORS)
	$(BIN)/python .ci/floors.py > $(FLOORS)/floors.txt
	SQLINFER_NATIVE=0 $(FLOORS)/bin/python $(PIP_INSTALL) --constraint $(FLOORS)/floors.txt --editable '.[test]'
	touch $@

$(EXTENSION): $(RUST)
	MAKEFLAGS= $(PYTHON) udfs/build.py $(if $(filter 1,$(SQLINFER_NATIVE)),,--if-possible)

clean:
	rm -rf $(VENV) $(FLOORS) build dist target
