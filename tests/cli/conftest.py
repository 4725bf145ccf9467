"""The command as a user types it, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from sqlinfer.cli import main


@pytest.fixture
def home(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def negate(onnx_file):
    return onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }", "negate.onnx")


@pytest.fixture
def run(home):
    """``run("list", "-f", "csv")``: the result of a command that worked; ``code`` says how else it may end.
    ``environment``: other variables, or None for those that are not there."""

    def invoke(*arguments, code=0, text=None, environment=None):
        variables = {"SQLINFER_HOME": str(home), **(environment or {})}
        result = CliRunner().invoke(main, [str(a) for a in arguments], input=text, env=variables)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def process(home):
    """``process("query", sql, stdout=…)``: the same as a real process."""

    def start(*arguments, **options):
        program = "from sqlinfer.cli import main; main(prog_name='sqlinfer')"
        environment = {**os.environ, "SQLINFER_HOME": str(home)}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, text=True, **options)

    return start
