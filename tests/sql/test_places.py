"""Calls stand wherever an expression stands, in every statement."""

from __future__ import annotations

import re
import traceback

import pytest

from sqlinfer.errors import CallError

STATEMENTS = {
    "WITH c AS (SELECT predict('iris', i) AS p FROM iris i) SELECT count(*) FROM c WHERE p = 'setosa'": 50,
    "SELECT count(*) FROM (SELECT predict('iris', *) AS p FROM iris) WHERE p = 'setosa'": 50,
    "SELECT count(*) FROM iris i WHERE predict('iris', i) = 'setosa'": 50,
    "SELECT count(*) FROM iris i WHERE CASE WHEN sl > 5 THEN predict('iris', i) ELSE 'none' END = 'setosa'": 22,
    "SELECT count(*) FROM (SELECT predict('iris', i) AS p FROM iris i GROUP BY predict('iris', i))": 3,
    "SELECT p FROM (SELECT predict('iris', i) AS p, pl FROM iris i) ORDER BY p, pl LIMIT 1": "setosa",
    "SELECT predict('iris', i) FROM iris i ORDER BY predict_proba('iris', i)['virginica'] DESC LIMIT 1": "virginica",
    "SELECT count(*) FROM iris a JOIN (VALUES ('setosa')) s(name) ON predict('iris', a) = s.name": 50,
    "SELECT max(c) FROM (SELECT count(*) OVER (PARTITION BY predict('iris', i)) AS c FROM iris i)": 52,
    "SELECT (SELECT predict('iris', o) FROM iris LIMIT 1) FROM iris o LIMIT 1": "setosa",
    "FROM iris i SELECT predict('iris', i) AS p WHERE p <> 'setosa' ORDER BY p LIMIT 1": "versicolor",
    "SELECT predict('iris', predict('width', 1), 3, predict('width', predict('width', 2)), 0.2)": "setosa",
    "SELECT /* predict('nope', 1) */ predict('iris', 5, 3, 1, 0.2) -- predict('nope')": "setosa",
    "SELECT predict ( 'iris' /* , */ , 5,\n 3,1\t,0.2 )": "setosa",
    "SELECT list_transform([5, 6], lambda x: x + 1)[1] + length(predict('iris', 5, 3, 1, 0.2))": 12,
    "SELECT 1; SELECT predict('iris', 5, 3, 1, 0.2)": "setosa",
    "SELECT max(p) FROM (PIVOT (SELECT predict('iris', i) AS q, 1 AS p FROM iris i) ON q USING count(*))": 1,
}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_anywhere(one, sql):
    assert one(sql) == STATEMENTS[sql]


def test_tables_are_written(con, column):
    con.execute("CREATE TABLE scored AS SELECT predict('iris', i) AS p FROM iris i")
    con.execute("INSERT INTO scored SELECT predict('iris', i) FROM iris i WHERE predict('iris', i) = 'setosa'")
    con.execute("UPDATE scored SET p = predict('iris', 6, 3, 6, 2) WHERE p = predict('iris', 5, 3, 1, 0.2)")
    con.execute("DELETE FROM scored WHERE p = predict('iris', 6, 3, 4, 1.2)")
    assert column("SELECT DISTINCT p FROM scored") == ["virginica"]


def test_files_are_written(con, tmp_path, one):
    con.execute(f"COPY (SELECT predict('iris', i) AS p FROM iris i) TO '{tmp_path}/p.parquet'")
    assert one(f"SELECT count(*) FROM '{tmp_path}/p.parquet' WHERE p = 'setosa'") == 50


def test_views_and_macros(con, one):
    con.execute("CREATE VIEW v AS SELECT *, predict('iris', i) AS p, predict_proba('iris@careful', i) AS q FROM iris i")
    con.execute("CREATE MACRO kind(a, b, c, d) AS predict('iris', a, b, c, d)")
    con.execute("CREATE MACRO kinds(n) AS TABLE SELECT predict('iris', i) AS p FROM iris i LIMIT n")
    assert one("SELECT count(*) FROM v WHERE p = 'setosa' AND q['setosa'] > 0.3") > 40
    assert one("SELECT kind(5, 3, 1, 0.2)") == "setosa"
    assert one("SELECT count(*) FROM kinds(7)") == 7


def test_parameters(con, one):
    assert one("SELECT predict('iris', ?, ?, ?, ?)", [5.1, 3.5, 1.4, 0.2]) == "setosa"
    assert one("SELECT predict('iris', $a, $b, $c, $d)", {"a": 6, "b": 3, "c": 6, "d": 2}) == "virginica"
    con.execute("PREPARE kind AS SELECT predict('iris', $1, $2, $3, $4)")
    assert one("EXECUTE kind(5.1, 3.5, 1.4, 0.2)") == "setosa"
    con.execute("CREATE TABLE answers (p VARCHAR)")
    con.executemany("INSERT INTO answers SELECT predict('iris', ?, ?, ?, ?)", [[5, 3, 1, 0.2], [6, 3, 6, 2]])
    assert con.execute("FROM answers").fetchall() == [("setosa",), ("virginica",)]


def test_explain_and_describe(con):
    assert con.execute("EXPLAIN SELECT predict('iris', i) FROM iris i").fetchall()
    assert con.execute("DESCRIBE SELECT predict('iris', i) FROM iris i").fetchall()[0][1] == "VARCHAR"


def test_empty_tables(con):
    con.execute("CREATE TABLE nobody AS FROM iris LIMIT 0")
    assert con.execute("SELECT predict('iris', n), predict_proba('iris', n) FROM nobody n").fetchall() == []
    assert con.execute("SELECT max(predict('iris', n)) FROM nobody n").fetchall() == [(None,)]


def test_names_of_the_users_own(con, one):
    con.execute("CREATE MACRO predict_weather(x) AS x || '!'")
    con.execute("CREATE TABLE mine AS SELECT 1 AS predict, 2 AS predict_iris, 3 AS infer")
    assert one("SELECT predict_weather('rain')") == "rain!"
    assert one("SELECT predict + predict_iris + infer FROM mine WHERE predict > 0") == 6
    assert one("SELECT 'predict(''nope'', 1)'") == "predict('nope', 1)"
    assert one("SELECT \"predict('nope')\" FROM (SELECT 5 AS \"predict('nope')\")") == 5
    assert one("SELECT $$ predict('nope') $$") == " predict('nope') "


def test_a_macro_called_like_a_models_function(con, one):
    con.execute("CREATE MACRO predict_width(x) AS predict('width', x) || ' cm'")
    assert one("SELECT predict('width', 1)::VARCHAR || ' cm' = predict_width(1)")


def test_tables_called_like_functions(con, one):
    con.execute("CREATE TABLE predict(a INT, b INT); CREATE TABLE Predict_Iris(pl INT, sl INT, x INT)")
    con.execute("INSERT INTO predict(b) VALUES (1); INSERT INTO predict_iris (sl, pl) VALUES (2, 3)")
    con.execute("CREATE INDEX i ON predict_iris(pl)")
    assert one("SELECT b FROM predict") == 1
    assert con.execute("FROM predict_iris").fetchall() == [(3, 2, None)]
    assert one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'Predict_Iris'") == 1
    assert one("WITH predict(a) AS (SELECT 1), infer(b) AS (SELECT 2) SELECT a + b FROM predict, infer") == 3
    assert one("SELECT predict.x + y FROM range(3, 4) predict(x), (VALUES (4)) Predict_Iris(y)") == 7


@pytest.mark.parametrize(
    ("sql", "call"),
    [
        ("FROM predict('width', 'rows.parquet')", "predict('width', t)"),
        ("SELECT * FROM range(2), predict_width((SELECT 1))", "predict('width', t)"),
        ("SELECT * FROM iris i JOIN infer('width', i) ON true", "infer('width', t)"),
    ],
)
def test_a_call_is_no_table(con, sql, call):
    with pytest.raises(CallError, match=re.escape(f"no table: write SELECT *, {call} FROM")):
        con.execute(sql)


def test_a_traceback_shows_no_sql_but_the_users(con):
    with pytest.raises(Exception) as raised:
        con.execute("SELECT predict('iris', i), nothing FROM iris i")
    text = "".join(traceback.format_exception(raised.value))
    assert "LINE 1: SELECT predict('iris', i), nothing" in text and "predict_iris" not in text


@pytest.mark.parametrize("unique", ["", "UNIQUE "])
@pytest.mark.parametrize(
    "expression",
    [
        "predict('width', pl)",
        "predict_width(pl)",
        "(1 + predict_width(pl))",
        "lengths(pl)",
        "PREDICT('width', pl), pl",
    ],
)
def test_an_index_is_refused_and_harms_nothing(con, unique, expression):
    """DuckDB would build some of them, and give up the database at the next DELETE."""
    con.execute("CREATE MACRO lengths(x) AS predict('width', x) + 1")
    with pytest.raises(CallError, match=r"predict\w*\(\) cannot be indexed"):
        con.execute(f"CREATE {unique}INDEX IF NOT EXISTS i ON iris ({expression})")
    assert con.execute("SELECT count(*) FROM duckdb_indexes()").fetchall() == [(0,)]
    con.execute("CREATE INDEX predict_width_index ON iris (pl)")
    con.execute("INSERT INTO iris FROM iris LIMIT 1")
    con.execute("DELETE FROM iris WHERE pl < predict('width', pl) * 4")
    assert con.execute("SELECT 42").fetchall() == [(42,)]
