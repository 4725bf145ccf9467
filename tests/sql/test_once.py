"""A row is scored once, however often a query mentions the same call."""

from __future__ import annotations

import numpy as np
import pytest

import sqlinfer
from sqlinfer.runtime.session import sessions

ROWS = 20_000

QUERIES = {
    "SELECT x, predict('m', r) AS p FROM rows r": ROWS,
    "SELECT predict('m', r) AS p, predict('m', r) + 1 FROM rows r": ROWS,
    "SELECT x, predict('m', r) AS p FROM rows r WHERE predict('m', r) > 0": ROWS,
    "SELECT x, predict('m', r) AS p FROM rows r WHERE p > 0": ROWS,
    "SELECT x, predict('m', r) AS p FROM rows r WHERE predict('m', r) > 0 AND predict('m', r) < 1 ORDER BY p": ROWS,
    "SELECT x, predict('m', r) AS p FROM rows r WHERE predict('m', r) > 1e9": ROWS,
    "SELECT x, predict('m', r) AS p FROM rows r WHERE predict('m', r) > 2.4": ROWS,
    "SELECT * FROM (SELECT x, predict('m', r) AS p FROM rows r) WHERE p > 0": ROWS,
    "SELECT round(predict('m', r)) AS p, count(*) FROM rows r WHERE predict('m', r) > 0 GROUP BY p": ROWS,
    "SELECT predict('m', r) AS p FROM rows r WHERE i % 7 = 3": 2857,
}


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """The rows that reach ONNX Runtime, counted on their way through the real session."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    features = random.normal(size=(500, 2)).astype(np.float32)
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(features, features @ [1.0, 0.5])
    registry = sqlinfer.Registry(tmp_path)
    sqlinfer.register("m", model, sample=features, features=["x", "y"], registry=registry)
    session = sessions.get(registry.get("m"))
    counts = []
    run = session.run

    def counting(outputs, feeds, rows):
        counts.append(rows)
        return run(outputs, feeds, rows)

    monkeypatch.setattr(session, "run", counting)
    return registry, counts


@pytest.mark.parametrize("query", QUERIES)
def test_once(counted, query):
    registry, counts = counted
    with sqlinfer.connect(registry=registry, engine="arrow", threads=1) as con:
        con.execute(f"CREATE TABLE rows AS SELECT i, sin(i) * 2 AS x, cos(i * 1.7) AS y FROM range({ROWS}) t(i)")
        counts.clear()
        con.execute(query).fetchall()
    assert sum(counts) == QUERIES[query]


def test_what_is_remembered_is_right(con):
    """The answers after a filter are those of the same rows without it."""
    con.execute("CREATE TABLE many AS SELECT i.*, n FROM range(40) t(n), iris i")
    filtered = con.execute(
        "SELECT sl, sw, pl, pw, predict('width', pl) AS p FROM many WHERE predict('width', pl) > 1 AND n % 2 = 0"
    ).fetchall()
    for *features, p in filtered[::97]:
        assert con.execute("SELECT predict('width', ?)", [features[2]]).fetchall() == [(p,)]
    assert len(filtered) == 20 * sum(p > 1 for (p,) in con.execute("SELECT predict('width', pl) FROM iris").fetchall())


def test_rows_without_values(con):
    for _ in range(2):
        assert con.execute("SELECT predict('bytesum', ''::BLOB)").fetchall() == [(0,)]


def test_the_same_numbers_in_another_shape(onnx_file, tmp_path, engine):
    graph = "(float[n, h, w] x) => (float[n, w] y) <int64[1] ax = {1}> { y = ReduceSum<keepdims=0>(x, ax) }"
    sqlinfer.register("m", onnx_file(graph), registry=tmp_path)
    with sqlinfer.connect(registry=tmp_path, engine=engine) as con:
        assert con.execute("SELECT predict('m', [[1, 2, 3], [4, 5, 6]])").fetchall() == [([5, 7, 9],)]
        assert con.execute("SELECT predict('m', [[1, 2], [3, 4], [5, 6]])").fetchall() == [([9, 12],)]
