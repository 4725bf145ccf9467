"""A folder as docs/tools.md begins with it: the README's model is registered, and its table is a file."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.tools.pages import ROOT, readme_model

# Environment variable of .ci/tools: the packages whose pages are run there, and where a missing one is an error.
REQUIRED = os.environ.get("SQLINFER_TOOLS", "").split()
PACKAGES = {
    "dbt": "dbt-duckdb",
    "SQLMesh": "sqlmesh",
    "JupySQL": "jupysql",
    "ibis": "ibis-framework",
    "SQLAlchemy": "duckdb-engine",
    "marimo": "marimo",
    "polars": "polars",
    "ADBC": "adbc-driver-manager",
    "FastAPI": "fastapi",
    # docs/engines.md
    "Polars": "polars",
    "Ray Data": "ray",
    "Daft": "daft",
    "DataFusion": "datafusion",
    "Dask": "dask",
}


@pytest.fixture
def tool(request) -> str:
    """The test's parameter ``name``, if the package is there, or has to be."""
    name = request.node.callspec.params["name"]
    package = PACKAGES[name]
    try:
        version(package)
    except PackageNotFoundError:
        assert package not in REQUIRED, f"{package} is not installed"
        pytest.skip(f"{package} is not installed: .ci/tools runs it")
    if REQUIRED and package not in REQUIRED:
        pytest.skip(f"{package} is run in another environment")
    return name


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """A user's home, in which the README's model is registered."""
    home = tmp_path_factory.mktemp("home")
    code = f"{readme_model()}\nflowers.to_csv('flowers.csv', index=False)\nsqlinfer.connect('garden.duckdb')"
    code += ".execute(\"CREATE TABLE flowers AS FROM 'flowers.csv'\")"
    subprocess.run([sys.executable, "-c", code], cwd=home, env=_environment(home), check=True)
    return home


@pytest.fixture
def environment(home) -> dict[str, str]:
    return _environment(home)


def _environment(home: Path) -> dict[str, str]:
    # the command and the package of this environment, and of these sources; no tool reports that it was used
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "0", "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    quiet |= {"RAY_USAGE_STATS_ENABLED": "0", "DAFT_ANALYTICS_ENABLED": "0"}
    settings = {"HOME": str(home), "SQLINFER_HOME": str(home / "models"), "PYTHONIOENCODING": "utf-8"}
    return {**os.environ, **paths, **quiet, **settings}
