"""Everything that the README shows is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_ten_lines_print_what_is_shown(tmp_path):
    code, shown = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.DOTALL).groups()
    environment = {**os.environ, "SQLINFER_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    # DuckDB 1.5 draws how far it is before the table, where a query takes long
    assert ran.stdout[ran.stdout.index("┌") :].split() == shown.split()


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_extras_are_there():
    (listed,) = re.findall(r"other models take ([^.]+)\.", README)
    named = {"sklearn", *re.findall(r"`(\w+)`", listed)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    inner = {"demo", "examples", "shuttle", "operators", "test", "dev"}  # of the repository itself, or for a few graphs
    assert named == set(project["optional-dependencies"]) - inner


def test_commands_are_there():
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make test" in ci
