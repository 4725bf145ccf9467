"""What .ci/run rests on: an engine that is missing or old is told, and each dependency has one lowest version."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.engines import REQUIRED, native_problem

ROOT = Path(__file__).parents[2]
floors = runpy.run_path(str(ROOT / ".ci" / "floors.py"))["floors"]


@pytest.fixture
def udfs(tmp_path):
    """Sources as old as the hills, and where their extension would lie."""
    folder = tmp_path / "udfs"
    (folder / "src").mkdir(parents=True)
    for name in ("src/lib.rs", "Cargo.toml", "Cargo.lock", "build.py"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    return folder


def test_an_extension_that_is_missing_or_old_is_a_problem(udfs, tmp_path):
    extension = tmp_path / "x.duckdb_extension"
    assert "there is no x.duckdb_extension" in str(native_problem(extension, udfs))
    extension.touch()
    assert native_problem(extension, udfs) is None
    for name in ("src/lib.rs", "Cargo.lock", "build.py"):
        os.utime(udfs / name, (2**32, 2**32))
        assert f"older than udfs/{name}" in str(native_problem(extension, udfs))
        os.utime(udfs / name, (0, 0))


def test_where_the_engine_is_required_a_problem_ends_the_session(monkeypatch, pytestconfig):
    monkeypatch.setattr(conftest, "native_problem", lambda: "it is gone")
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.UsageError, match="but it is gone"):
        conftest.pytest_configure(pytestconfig)
    monkeypatch.delenv(REQUIRED)
    conftest.pytest_configure(pytestconfig)


@pytest.mark.parametrize("problem", ["it is gone", None])
def test_elsewhere_the_end_of_the_session_says_it(monkeypatch, problem):
    told: list[str] = []

    terminal: Any = SimpleNamespace(section=told.append, write_line=lambda line, **how: told.append(line))
    monkeypatch.setattr(conftest, "native_problem", lambda: problem)
    conftest.pytest_terminal_summary(terminal)
    assert told == (["engines", "it is gone"] if problem else [])


def test_each_dependency_has_one_lowest_version():
    assert {"duckdb", "onnxruntime", "pyarrow", "scikit-learn", "pandas", "numpy"} <= set(floors())


@pytest.mark.parametrize("stated", [["numpy"], ["numpy<3"], ["numpy>=1", "numpy>=2"]])
def test_another_is_an_error(tmp_path, stated):
    (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {stated}\noptional-dependencies = {{}}\n")
    with pytest.raises(ValueError, match="one lowest version of numpy"):
        floors(tmp_path / "pyproject.toml")


def test_the_run_makes_every_check():
    run = (ROOT / ".ci" / "run").read_text()
    assert "export SQLINFER_NATIVE=1\n" in run and "set -euo pipefail\n" in run
    assert [line.split()[1] for line in run.splitlines() if line.startswith("make ")] == [
        "check",
        "test",
        "floors",
        "pythons",
    ]
