"""Several statements in one text: each runs once, in order, and is understood on its own."""

from __future__ import annotations

import duckdb
import pytest

import sqlinfer
from sqlinfer.errors import FeatureType, MissingFeature


@pytest.fixture(autouse=True)
def log(con):
    con.execute("CREATE TABLE log (i INT)")


def logged(con):
    return [i for (i,) in con.execute("FROM log").fetchall()]


def test_what_ran_before_an_error_ran_once(con):
    with pytest.raises(duckdb.BinderException, match="nope"):
        con.execute("INSERT INTO log VALUES (1); SELECT predict('iris', i), nope FROM iris i")
    assert logged(con) == [1]


def test_the_error_is_that_of_the_statement(con):
    with pytest.raises(duckdb.BinderException, match="nope"):
        con.execute("CREATE TABLE z AS SELECT 1; SELECT predict('iris', i), nope FROM iris i")


def test_names_mean_what_they_mean_in_their_statement(con):
    answers = con.execute(
        "INSERT INTO log VALUES (1); SELECT 1 FROM iris AS flower;"
        "SELECT predict('iris', flower) FROM (SELECT {'sl': 5, 'sw': 3, 'pl': 1, 'pw': 0.2} AS flower);"
    )
    assert answers.fetchall() == [("setosa",)]
    assert logged(con) == [1]


@pytest.mark.parametrize("text", ["SELECT 'a;b'; SELECT predict('same_text', 'c;d')", "SELECT 1; -- so\n FROM log;"])
def test_semicolons_that_end_nothing(con, text):
    assert con.execute(text).fetchall() in ([("c;d",)], [])


def test_statements_that_duckdb_writes_anew(con):
    con.execute("INSERT INTO log VALUES (1), (2)")
    with pytest.raises(duckdb.Error, match="nope"):
        con.execute(
            "INSERT INTO log VALUES (3); PIVOT log ON i USING count(*); SELECT predict('iris', i), nope FROM iris i"
        )
    assert logged(con) == [1, 2, 3]
    assert con.execute("INSERT INTO log VALUES (4); PIVOT log ON i USING count(i)").fetchall() == [(1, 1, 1, 1)]
    assert logged(con) == [1, 2, 3, 4]


def test_nothing_runs_twice_when_one_cannot_be_parsed(con):
    with pytest.raises(duckdb.ParserException):
        con.execute("INSERT INTO log VALUES (1); SELECT predict('iris' FROM iris")
    assert logged(con) in ([], [1])  # DuckDB 2 runs what stands before it


def test_parameters_and_results_belong_to_the_last(con):
    assert con.execute("INSERT INTO log VALUES (1); SELECT predict('same_int', $1)", [7]).fetchall() == [(7,)]
    assert con.sql("INSERT INTO log VALUES (2); SELECT predict('same_int', $x)", params={"x": 8}).fetchall() == [(8,)]
    con.executemany("INSERT INTO log VALUES (3); INSERT INTO log SELECT predict('same_int', $1)", [[4], [5]])
    assert logged(con) == [1, 2, 3, 4, 5]


def test_many_parameters_are_each_used_once(con):
    con.execute("CREATE TABLE texts (i VARCHAR)")
    insert = "INSERT INTO texts SELECT predict('same_int', x) FROM (SELECT $1 AS x) x"
    with pytest.raises((duckdb.Error, sqlinfer.SqlinferError)):
        con.executemany(insert, [[1], [2], ["three"]])
    assert len(con.execute("FROM texts").fetchall()) <= 2


def test_errors_name_the_line_of_the_script(con):
    with pytest.raises(MissingFeature, match="LINE 3: SELECT predict"):
        con.execute("SELECT 1;\n\nSELECT predict('iris', sl := 1)")
    with pytest.raises(duckdb.Error, match="LINE 3:"):
        con.execute("SELECT 1;\n\nSELECT predict('iris', i) FROM nowhere AS i")
    with pytest.raises(duckdb.Error, match="LINE 2:"):
        con.execute("SELECT 1;\nSELECT 'é', no_such_function(predict('same_int', 1))")


def test_an_error_of_a_late_row_names_its_place(con):
    with pytest.raises(FeatureType, match=r"(?s)LINE 2: FROM \(SELECT predict.*\^\^\^"):
        con.execute("SELECT p\nFROM (SELECT predict('same_int', i / 400000) AS p FROM range(400001) t(i))").fetchall()


def test_the_first_error_is_the_one_in_a_transaction(con):
    con.begin()
    with pytest.raises(duckdb.BinderException, match="nope"):
        con.execute("SELECT predict('iris', i), nope FROM iris i")
    con.rollback()


def test_statements_that_duckdb_has_parsed(con):
    found = con.extract_statements("INSERT INTO log VALUES (1); SELECT predict('same_int', $1)")
    answers = [con.execute(statement, [2] if i else None).fetchall() for i, statement in enumerate(found)]
    assert answers[1] == [(2,)]
    assert con.sql(found[1], params=[3]).fetchall() == [(3,)]
    assert logged(con) == [1]
