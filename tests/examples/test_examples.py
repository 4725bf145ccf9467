"""Every example runs, and what it prints is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def examples(tmp_path):
    """A copy, so that what the examples write stays in the test's own folder."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("output"))
    return copy


def run(*command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_flights(examples):
    out = run(sys.executable, examples / "flights.py")
    assert "336,776 flights" in out
    assert float(re.search(r"AUC is (0\.\d+)", out)[1]) > 0.7
    assert (examples / "output" / "flights.png").read_bytes().startswith(b"\x89PNG")


def test_cancellations(examples):
    out = run(sys.executable, examples / "cancellations.py")
    assert float(re.search(r"AUC .*: (0\.\d+)", out)[1]) > 0.75


def test_demand(examples):
    """The forecast for a month is right within a tenth, for each airport."""
    out = run(sys.executable, examples / "demand.py")
    month = out.split("December, forecast and flown")[1]
    rows = re.findall(r"│ (EWR|JFK|LGA) +│ +(\d+) │ +(\d+) │", month)
    assert len(rows) == 3
    assert all(abs(int(expected) / int(actual) - 1) < 0.1 for _, expected, actual in rows)


def test_segments(examples):
    """Every booking is in one of the segments."""
    out = run(sys.executable, examples / "segments.py")
    sizes = [int(size) for size in re.findall(r"^│ +\d │ +(\d+) │", out, re.MULTILINE)]
    assert len(sizes) == 5
    assert sum(sizes) > 100_000


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_score_parquet(examples):
    out = run("sh", examples / "score_parquet.sh")
    assert "City Hotel" in out and "Resort Hotel" in out
    assert (examples / "output" / "priced_2017.parquet").exists()


def test_notebook(examples, tmp_path, monkeypatch):
    monkeypatch.setenv("SQLINFER_HOME", str(tmp_path / "models"))
    notebook = nbformat.read(examples / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    *_, kept = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert "risk" in kept.outputs[0].data["text/plain"]


def test_all_are_listed():
    listed = set(re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text()))
    runnable = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh", ".ipynb")} - {"picture.py"}
    assert listed == runnable
