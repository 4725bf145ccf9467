"""The extension in programs that are not ours: where it is, and LOAD sqlinfer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import sqlinfer
from tests.engines import native_problem

pytestmark = pytest.mark.skipif(bool(native_problem()), reason="the extension is not built")


def test_where_it_is(run):
    path = Path(run("extension-path").stdout.strip())
    assert path.is_file() and path == sqlinfer.extension_path()
    assert json.loads(run("extension-path", "-f", "json").stdout) == {"path": str(path)}


LOADED = """
import duckdb
con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
con.execute("LOAD sqlinfer")
print(con.execute("SELECT predict_negate(3)").fetchall())
"""


@pytest.mark.slow
def test_load_by_its_name_after_it_was_installed(run, negate, tmp_path, home):
    run("register", "negate", negate)
    (tmp_path / "user").mkdir()
    user = {"HOME": str(tmp_path / "user"), "PATH": "/usr/bin:/bin", "SQLINFER_HOME": str(home)}
    program = "from sqlinfer.cli import main; main(prog_name='sqlinfer')"
    command = [sys.executable, "-c", program, "install-extension", "-f", "json"]
    for _ in range(2):  # it may be done again
        environment = {**user, "PYTHONPATH": str(Path(sqlinfer.__file__).parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    installed = json.loads(done.stdout)
    assert all(Path(one["path"]).is_relative_to(tmp_path / "user") for one in installed)
    loaded = subprocess.run([sys.executable, "-c", LOADED], env=user, capture_output=True, text=True)
    assert loaded.stdout == "[(-3.0,)]\n", loaded.stderr
    shell = [sys.executable, "-m", "duckdb_cli", "-unsigned", "-csv", "-noheader", "-c"]
    loaded = subprocess.run(
        [*shell, "LOAD sqlinfer; SELECT predict_negate(3)"], env=user, capture_output=True, text=True
    )
    assert loaded.stdout == "-3.0\n", loaded.stderr
