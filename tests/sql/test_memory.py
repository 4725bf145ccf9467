"""Answers that DuckDB's memory_limit has no room for: its own error, and the connection goes on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import sqlinfer
from tests.engines import native_problem

# The other engine's answers are in memory that DuckDB does not count.
pytestmark = pytest.mark.skipif(bool(native_problem()), reason="the extension is not built")

WORD = 20_000
TEXT = f"""
(float[N] x) => (string[N] y) {{
    word = Constant<value: tensor = string[1] {{"{"w" * WORD}"}}>()
    first = Cast<to = 7>(x)
    y = Gather(word, first)
}}"""
LIST = """
(float[N, 1] x) => (float[N, M] y) {
    shape = Constant<value: tensor = int64[2] {1, 100000}>()
    y = Expand(x, shape)
}"""
ARRAY = f"""
(float[N] x) => (string[N, 2] y) {{
    words = Constant<value: tensor = string[1, 2] {{"{"v" * WORD}", "{"w" * WORD}"}}>()
    first = Cast<to = 7>(x)
    y = Gather(words, first)
}}"""
STRUCT = f"""
(float[N] x) => (string[N] y, float[N] z) {{
    word = Constant<value: tensor = string[1] {{"{"w" * WORD}"}}>()
    first = Cast<to = 7>(x)
    y = Gather(word, first)
    z = Identity(x)
}}"""


GRAPHS = {"text": TEXT, "list": LIST, "array": ARRAY, "struct": STRUCT}


@pytest.fixture
def register(tmp_path, onnx_file):
    """``register(name)``: the registry of a model that answers so."""
    registry = sqlinfer.Registry(tmp_path / "registry")

    def register(name: str) -> sqlinfer.Registry:
        if name == "classes":
            x = np.array([[0.0], [1.0]])
            classes = LogisticRegression().fit(x, ["v" * WORD, "w" * WORD])
            sqlinfer.register(name, classes, sample=x, registry=registry)
        else:
            sqlinfer.register(name, onnx_file(GRAPHS[name]), registry=registry)
        return registry

    return register


@pytest.mark.parametrize(
    ("answer", "rows", "type"),
    [
        ("predict('text', x)", 2000, "VARCHAR"),
        ("predict('text', CASE WHEN i % 2 = 0 THEN x END)", 4000, "VARCHAR"),
        ("predict('list', x)", 200, "FLOAT[]"),
        ("predict('array', x)", 1000, "VARCHAR[2]"),
        ("infer('struct', x)", 2000, "STRUCT(y VARCHAR, z FLOAT)"),
        ("predict('classes', x)", 2000, "VARCHAR"),
        ("predict_proba('classes', x)", 1000, "MAP(VARCHAR, DOUBLE)"),
    ],
)
@pytest.mark.slow
def test_answers_that_there_is_no_memory_for(register, answer, rows, type):
    home = str(register(answer.split("'")[1]).home)
    script = f"""
import duckdb, sqlinfer
con = sqlinfer.connect(registry={home!r}, engine='native', threads=1)
con.execute("SET enable_progress_bar = false")
con.execute("CREATE TABLE t AS SELECT i, (i / 1e6)::FLOAT AS x FROM range({rows}) r(i)")
first = con.execute("SELECT typeof(a), hash(a) FROM (SELECT {answer} AS a FROM t WHERE i = 1)").fetchall()
con.execute("SET memory_limit = '20MB'")
try:
    con.execute("SELECT count({answer}) FROM t").fetchall()
except duckdb.OutOfMemoryException as error:
    print(error)
print(con.execute("SELECT typeof(a), hash(a) FROM (SELECT {answer} AS a FROM t WHERE i = 1)").fetchall() == first)
print(con.execute("SELECT count(*) FROM sqlinfer_models()").fetchone(), first[0][0])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Out of Memory Error: ")
    assert told.stdout.endswith(f"\nTrue\n(1,) {type}\n")
