"""Tables of several row groups, several threads, and answers that must not get mixed up."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest

import sqlinfer

pytestmark = pytest.mark.slow


@pytest.fixture
def wide(registry, engine):
    """A connection with four threads and a table of 300,000 customers."""
    with sqlinfer.connect(registry=registry, engine=engine, threads=4) as con:
        con.execute("""
            CREATE TABLE many AS SELECT i, 20 + i % 61 + (i % 10) / 10 AS age,
                CASE WHEN i % 5 > 0 THEN (i * 37) % 1000 / 10 END AS income, i % 30 AS visits,
                (['Bern', 'Genève', 'Zürich', NULL])[1 + i % 4] AS city
            FROM range(300000) t(i)
        """)
        yield con


@pytest.mark.parametrize("name", ["churn", "risk", "offer"])
def test_every_row_gets_its_own_answer(wide, estimators, name):
    model, sample = estimators[name]
    rows = wide.execute("SELECT * FROM many ORDER BY i").df()[list(sample.columns)].astype(sample.dtypes)
    rows = rows.where(rows.notna(), np.nan)  # with pandas 2 a missing text comes as None
    given = wide.execute(f"SELECT predict('{name}', m) AS p FROM many m ORDER BY i").df()["p"]
    expected = model.predict(rows)
    if given.dtype == float or given.dtype == np.float32:
        np.testing.assert_allclose(given, expected, atol=1e-4)
    else:
        assert (given.to_numpy() == expected).all()


def test_answers_stand_at_their_rows_after_filters_joins_and_sorts(wide):
    wide.execute("CREATE TABLE numbers AS SELECT (i * 7919) % 300000 AS x FROM range(300000) t(i)")
    wrong = wide.execute("""
        WITH scored AS (
            SELECT x, predict('same_int', x) AS p, predict('same_double', x + 0.5) AS q FROM numbers WHERE x % 3 > 0
        )
        SELECT count(*), count(*) FILTER (WHERE s.p <> n.x OR s.q <> n.x + 0.5)
        FROM scored s JOIN numbers n ON s.p = n.x AND predict('same_int', n.x) = s.x WHERE s.q > 100
    """).fetchall()
    assert wrong == [(199_934, 0)]


def test_text_answers_stand_at_their_rows(wide):
    sql = "SELECT count(*) FROM range(300000) t(i) WHERE predict('same_text', 'row ' || i) <> 'row ' || i"
    assert wide.execute(sql).fetchall() == [(0,)]


def test_ragged_lists_stand_at_their_rows(wide):
    lists = "SELECT range(i % 4, i % 4 + 1 + i % 3) AS x FROM range(100000) t(i)"
    sql = f"SELECT count(*) FROM ({lists}) WHERE predict('echo', x) <> x"
    assert wide.execute(sql).fetchall() == [(0,)]


def test_results_are_streamed(wide):
    reader = wide.sql("SELECT predict('same_int', i) AS p FROM range(1000000) t(i)").to_arrow_reader(100_000)
    assert sum(sum(batch.column(0).to_numpy()) for batch in reader) == sum(range(1_000_000))


def test_cursors_in_threads(registry, engine, iris):
    """Several threads ask one database at once, each with a cursor of its own."""
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        con.execute("CREATE TABLE iris AS FROM iris")
        both = "SELECT predict('iris', i), predict('width', pl) FROM iris i ORDER BY ALL"
        expected = con.execute(both).fetchall()
        answers: list[list[tuple]] = []

        def ask(cursor):
            answers.extend(cursor.execute(both).fetchall() for _ in range(10))

        threads = [threading.Thread(target=ask, args=(con.cursor(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 40 and all(answer == expected for answer in answers)


def test_a_model_removed_while_its_answers_are_read(tmp_path, engine, onnx_file):
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Neg(x) }")
    registry = sqlinfer.Registry(tmp_path / "models")
    sqlinfer.register("m", file, registry=registry)
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        reader = con.sql("SELECT predict('m', i) AS p FROM range(500000) t(i)").to_arrow_reader(1000)
        first = reader.read_next_batch()
        registry.remove("m")
        rest = reader.read_all()
        assert len(first) + len(rest) == 500_000
        assert rest.column(0)[-1].as_py() == -499_999
        with pytest.raises(sqlinfer.SqlinferError, match="no model named 'm'"):
            con.execute("SELECT predict('m', 1)").fetchall()
        assert con.execute("SELECT 1").fetchall() == [(1,)]


def test_one_row_and_none(wide):
    assert wide.execute("SELECT predict('churn', m) FROM many m LIMIT 0").fetchall() == []
    ((alone,),) = wide.execute("SELECT predict_proba('churn', m)[true] FROM many m WHERE i = 77").fetchall()
    ((among,),) = wide.execute(
        "SELECT p FROM (SELECT i, predict_proba('churn', m)[true] AS p FROM many m) WHERE i = 77"
    ).fetchall()
    assert alone == pytest.approx(among)


def test_frames_of_every_size(registry, engine):
    """One more and one less than DuckDB's vectors hold."""
    with sqlinfer.connect(registry=registry, engine=engine) as con:
        for size in (1, 2, 2047, 2048, 2049, 4096, 4097):
            frame = pd.DataFrame({"x": range(size)})
            given = con.sql("SELECT predict('same_int', x), predict('four', x, x) FROM frame").fetchall()
            assert given == [(x, (2 * x, 2 * x)) for x in range(size)]
            assert len(frame) == size
