"""What .ci/run rests on: an engine that is missing or old is told, and each dependency has one lowest version."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

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
    made = [line.split()[1:] for line in run.splitlines() if line.startswith("make ")]
    assert [targets[0] for targets in made] == ["ready", "check", "test"]
    assert {"check", "floors", "pythons", "compiled", "tools", "browser", "spark"} <= set(made[1])


@pytest.mark.parametrize("path", [".ci/run", ".github/workflows/release.yml", "CONTRIBUTING.md", "README.md", "docs"])
def test_what_is_made_can_be_made(path):
    place = ROOT / path
    texts = [file.read_text(encoding="utf-8") for file in ([place] if place.is_file() else place.glob("*.md"))]
    made = {target for text in texts for target in re.findall(r"(?:^ +|^|run: |`)make ([\w-]+)", text, re.MULTILINE)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = {target for line in re.findall(r"^([\w -]+):(?!=)", makefile, re.MULTILINE) for target in line.split()}
    assert made <= known
    assert made or path == "docs"


def test_a_wheel_is_tried_where_it_was_built():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["wheel"]["strategy"]["matrix"]["system"] == jobs["try"]["strategy"]["matrix"]["system"]
    assert "make wheel" in [step.get("run") for step in jobs["wheel"]["steps"]]
    assert any(step.get("run", "").startswith(".ci/pythons ") for step in jobs["try"]["steps"])


def test_hooks_are_our_own():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert [hook["id"] for hook in config["repos"][0]["hooks"]] == ["ruff", "ruff-format", "mypy", "cargo-fmt"]
