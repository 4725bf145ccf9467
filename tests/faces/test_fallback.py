"""A DuckDB 2 whose API v2 the extension does not know: API v1 serves alone, types each function once, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from sqlinfer.engines.native import extension_path
from sqlinfer.installation import onnxruntime_library
from tests.engines import ENGINES
from tests.processes import HANG

pytestmark = [
    pytest.mark.skipif("native" not in ENGINES, reason="there is no native engine"),
    pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="DuckDB 1.5 has no API v2"),
]

FLOWER = "5.1, 3.5, 1.4, 0.2"
ANSWERS = [
    (f"SELECT predict_iris({FLOWER}) AS p, typeof(p)", "setosa", "VARCHAR"),
    (f"SELECT predict_label('iris', {FLOWER})", "setosa"),
    ("SELECT typeof(predict('width', 1.4))", "DOUBLE"),
    (f"SELECT predict_proba('iris', {FLOWER})['setosa'] > 0.9", True),
    ("SELECT predict_iris({'pw': 0.2, 'pl': 1.4, 'sw': 3.5, 'sl': 5.1})", "setosa"),
]
ERRORS = {
    f"SELECT predict('iris', {FLOWER})": "call predict_label('iris', …) or predict_iris(…); this build of DuckDB",
    f"SELECT predict_proba('iris', {FLOWER}, 'setosa')": "of one by predict_proba(…)[class]; this build of DuckDB",
    f"SELECT infer('iris', {FLOWER})": "does not exist",
    "SELECT predict_iris(pw := 0.2, pl := 1.4, sw := 3.5, sl := 5.1)": "No function matches",
    "SELECT predict('width', x := 1.4)": "No function matches",
}
ASK = """
import json, sys, duckdb
setup, *questions = json.load(sys.stdin)
con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
con.execute(setup)
for sql in questions:
    try:
        print(json.dumps(con.execute(sql).fetchone()))
    except duckdb.Error as error:
        print(json.dumps(str(error)))
"""


def newer(folder: Path) -> Path:
    """The module, of a version that nobody has tried."""
    module = Path(sys.modules["_duckdb"].__file__ or "")
    version, content = f"\0v{duckdb.__version__}\0".encode(), module.read_bytes()
    assert content.count(version) == 1
    (folder / module.name).write_bytes(content.replace(version, b"\0v2.9.9\0"))
    return extension_path()


def lacking(folder: Path) -> Path:
    """The extension, which asks for a function that DuckDB has not."""
    name, content = b"duckdb_v2_vector_flatten", extension_path().read_bytes()
    assert content.count(name) == 1
    extension = folder / "sqlinfer.duckdb_extension"
    extension.write_bytes(content.replace(name, b"duckdb_v2_vector_crumple"))
    return extension


@pytest.mark.parametrize("made", [newer, lacking])
def test_functions_have_one_type_each(registry, tmp_path, made):
    setup = f"LOAD '{made(tmp_path)}'; SET GLOBAL sqlinfer_onnxruntime = '{onnxruntime_library()}'"
    questions = json.dumps([setup, *(sql for sql, *_ in ANSWERS), *ERRORS])
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "SQLINFER_HOME": str(registry.home), "PYTHONPATH": path}
    command = [sys.executable, "-c", ASK]
    ran = subprocess.run(command, input=questions, capture_output=True, text=True, timeout=HANG, env=environment)
    assert ran.returncode == 0, ran.stderr
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    assert said[: len(ANSWERS)] == [answer for _, *answer in ANSWERS]
    for says, error in zip(ERRORS.values(), said[len(ANSWERS) :], strict=True):
        assert says in error
