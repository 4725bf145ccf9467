"""Every DuckDB type into every kind of feature: taken exactly, or refused with what to write instead."""

from __future__ import annotations

import duckdb
import pytest

import sqlinfer
from sqlinfer.errors import FeatureCount, FeatureType, SqlinferError
from tests.conftest import ENGINES

NUMBERS = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL(3,0)", "DECIMAL(9,2)", "DECIMAL(18,6)",
           "DECIMAL(38,10)"]  # fmt: skip
NUMERIC = ["same_float", "same_double", "same_int", "same_tiny"]


@pytest.mark.parametrize("type", NUMBERS)
def test_columns_of_every_number(con, column, type):
    """Two vectors of rows with gaps, in a table, not constants that DuckDB folds."""
    con.execute(
        f"CREATE TABLE t AS SELECT i, CASE WHEN i % 5 > 0 THEN (i % 100)::{type} END AS x FROM range(3000) t(i)"
    )
    expected = [i % 100 if i % 5 else None for i in range(3000)]
    for model in NUMERIC:
        assert column(f"SELECT predict('{model}', x) FROM t ORDER BY i") == expected, model


@pytest.mark.parametrize("type", [*NUMBERS, "BOOLEAN"])
def test_lists_of_every_number(column, type):
    assert column(f"SELECT predict('mean', [0, 1]::{type}[])") == [0.5]
    assert column(f"SELECT predict('mean', [0, 1]::{type}[2])") == [0.5]
    assert column(f"SELECT predict('half', [0, 1]::{type}[])") == [(0, 2)]
    assert column(f"SELECT predict('table', [[0, 1], [1, 1]]::{type}[][])") == [(1, 2)]
    assert column(f"SELECT predict('table', [0, 1, 1, 1]::{type}[])") == [(1, 2)]


@pytest.mark.parametrize(
    ("type", "least", "most"),
    [
        ("TINYINT", -128, 127),
        ("BIGINT", -(2**63), 2**63 - 1),
        ("HUGEINT", -(2**63), 2**63 - 1),
        ("UBIGINT", 0, 2**63 - 1),
    ],
)
def test_integers_are_exact_to_the_last_digit(one, type, least, most):
    for value in (least, most):
        assert one("SELECT predict('same_int', ?::VARCHAR::" + type + ")", [str(value)]) == value


@pytest.mark.parametrize(
    ("model", "value"),
    [("same_int", f"{2**63}::UBIGINT"), ("same_int", f"{2**100}::HUGEINT"), ("same_int", "1.5"),
     ("same_int", "'nan'::DOUBLE"),
     ("same_int", "'inf'::DOUBLE"), ("same_int", "1e300::DOUBLE"), ("same_tiny", "128"), ("same_tiny", "-129::BIGINT"),
     ("bytesum", "[256]"), ("bytesum", "[-1]"), ("echo", "[0.5]")],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(con, one, model, value):
    """Cutting a number or wrapping it around would be a silent wrong answer."""
    with pytest.raises(FeatureType):
        con.execute(f"SELECT predict('{model}', {value})").fetchall()
    assert one("SELECT predict('same_int', 3)") == 3


OTHERS = ["'5'", "'5'::VARCHAR", "'ab'::BLOB", "DATE '2020-01-01'", "TIME '10:00'", "now()", "now()::TIMESTAMP",
          "TIMESTAMP_NS '2020-01-01'", "INTERVAL 1 DAY", "uuid()", "MAP {'a': 1}", "'101'::BIT", "'a'::ENUM('a', 'b')",
          "'{}'::JSON", "union_value(a := 1)"]  # fmt: skip


@pytest.mark.parametrize("value", OTHERS)
def test_what_is_no_number_is_never_made_one(con, one, value):
    for model in ("same_double", "same_int", "negate"):
        with pytest.raises(SqlinferError) as caught:
            con.execute(f"SELECT predict('{model}', {value})").fetchall()
        assert "feature 'x' is " in str(caught.value)
    assert one("SELECT predict('same_int', 3)") == 3


@pytest.mark.parametrize("value", ["5", "1.5", "true", "DATE '2020-01-01'", "now()", "'ab'::BLOB", "[5]", "{'x': 5}"])
def test_what_is_no_text_is_never_made_one(con, value):
    with pytest.raises(SqlinferError, match="feature 'x' is VARCHAR"):
        con.execute(f"SELECT predict('same_text', {value})").fetchall()


to_arrow = pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="DuckDB 1.5 gives Arrow no VARIANT")
ODD = ["NULL", "[NULL]", "[]", "1.5", "0.0", "0::HUGEINT", "(-2)::HUGEINT",
       pytest.param("5::VARIANT", marks=to_arrow), pytest.param("{'x': 5::VARIANT}", marks=to_arrow),
       "{'metadata': 'a'::BLOB, 'value': 'b'::BLOB}", "INTERVAL 1 DAY", "[INTERVAL 1 DAY]", "union_value(a := 1)",
       "TIMESTAMP_S '2020-01-01'", "TIMESTAMP_NS '2020-01-01'", "now()", "'12'::BIGNUM", "'{}'::JSON", "'ab'::BLOB",
       "MAP {'a': 1}", "DATE '2020-01-01'", "TIME '10:00'",
       "300", "-129", "300.0", "-0.05", "1e15::DOUBLE", "1e16::DOUBLE", "-2.5e-7::DOUBLE", "0.1::FLOAT", "'inf'::FLOAT",
       "'nan'::DOUBLE", "9223372036854775808", "-9223372036854775809::HUGEINT", "18446744073709551615::UBIGINT",
       "1.5::DECIMAL(38,20)", "12345678901234567890.5", "[1, 300]", "[0.5]"]  # fmt: skip


@pytest.mark.skipif(len(ENGINES) < 2, reason="the native extension is not built")
@pytest.mark.parametrize("value", ODD)
def test_the_engines_answer_alike(registry, value):
    """The same answer, or the same words about the same type."""

    def answers(engine):
        with sqlinfer.connect(registry=registry, engine=engine) as con:
            for model in ("same_double", "same_int", "same_tiny", "negate", "same_text", "echo", "bytesum"):
                try:
                    yield model, repr(con.execute(f"SELECT predict('{model}', {value})").fetchall())  # NaN is not NaN
                except SqlinferError as error:
                    yield model, type(error), str(error)

    assert list(answers("arrow")) == list(answers("native"))


@pytest.mark.parametrize("fix", ["CAST(x AS DOUBLE)", "x::DOUBLE"])
def test_the_cast_that_the_message_shows_works(con, one, fix):
    con.execute("CREATE TABLE t AS SELECT '5.5' AS x")
    with pytest.raises(FeatureType, match=r"write CAST\(x AS DOUBLE\)"):
        con.execute("SELECT predict('same_double', x) FROM t").fetchall()
    assert one(f"SELECT predict('same_double', {fix}) FROM t") == 5.5


def test_all_that_do_not_fit_are_named_at_once(con):
    with pytest.raises(FeatureType) as wrong:
        con.execute("SELECT predict('mixed', x := 'a', k := 1, s := true, b := DATE '2026-01-01')").fetchall()
    assert str(wrong.value).startswith(
        "model 'mixed': feature 'x' is FLOAT, but the argument is VARCHAR; write CAST(x AS FLOAT); "
        "feature 's' is VARCHAR, but the argument is BOOLEAN; "
        "write the texts that the model knows, such as CASE WHEN s THEN 'yes' ELSE 'no' END; "
        "feature 'b' is BOOLEAN, but the argument is DATE; take the number you mean"
    )


def test_text(con, column):
    con.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    texts = ["", "a", "grüezi", "🦆" * 10, "it's", "x" * 100_000, "line\nline", "nul\0nul", None]
    con.execute("CREATE TABLE t (i INTEGER, x VARCHAR)")
    con.executemany("INSERT INTO t VALUES (?, ?)", [list(row) for row in enumerate(texts)])
    assert column("SELECT predict('same_text', x) FROM t ORDER BY i") == texts
    moods = "SELECT (['sad', 'glad'])[1 + i % 2]::mood AS x, i FROM range(3000) t(i)"
    assert column(f"SELECT predict('same_text', x) FROM ({moods}) ORDER BY i") == ["sad", "glad"] * 1500


def test_several_inputs_of_several_types(con):
    sql = "SELECT infer('mixed', x := i, k := i * 2, s := 'n' || i, b := i % 2 = 0) FROM range(3) t(i)"
    assert con.execute(sql).fetchall() == [
        ({"x2": -i, "k2": -2 * i, "s2": f"n{i}", "b2": i % 2 == 1},) for i in range(3)
    ]


def test_bytes(column):
    sql = "SELECT predict('bytesum', x) FROM (VALUES ('\\x00\\xFF'::BLOB), (''::BLOB), (NULL), ('abc'::BLOB)) t(x)"
    assert column(sql) == [255, 0, None, 294]


def test_bytes_in_a_list_are_no_digits(con):
    for value in ("['5'::BLOB]", "[['5'::BLOB, '6'::BLOB]]"):
        with pytest.raises(FeatureType, match=r"feature 'x' is UTINYINT\[\], but the argument is BLOB"):
            con.execute(f"SELECT predict('bytesum', {value})").fetchall()


@pytest.mark.parametrize(
    ("model", "value"),
    [("pixels", "[1.0, 2.0]"), ("pixels", "[[1.0, 2.0], [3.0, 4.0]]"),
     ("pixels", "[[[1,2,3,4]], [[1,2,3,4]], [[1,2,3,4]]]"),
     ("table", "[1, 2, 3]"), ("table", "[[1, 2], [3]]"), ("half", "[1]"), ("half", "[1, 2, 3]"),
     ("half", "[]::INTEGER[]"),
     ("iris", "range(5)")],
)  # fmt: skip
def test_lists_of_the_wrong_length(con, one, model, value):
    with pytest.raises(FeatureCount):
        con.execute(f"SELECT predict('{model}', {value})").fetchall()
    assert one("SELECT predict('same_int', 3)") == 3


def test_one_bad_row_among_many(con):
    """The row is refused wherever it stands: in the first vector or in the last."""
    for bad in (0, 2047, 2048, 99_999):
        with pytest.raises(FeatureCount):
            con.execute(
                f"SELECT predict('half', CASE WHEN i = {bad} THEN [1] ELSE [1, 2] END) FROM range(100000) t(i)"
            ).fetchall()


def test_nested_lists_with_gaps(column):
    rows = "VALUES ([[1, 2], [3, 4]]), (NULL), ([[1, NULL]]), ([NULL]), ([[5, 6]]), ([[1, 2], NULL])"
    assert column(f"SELECT predict('table', x) FROM ({rows}) t(x)") == [(4, 6), None, None, None, (5, 6), None]


def test_slices_of_lists(con, column):
    """A filter and a LIMIT leave views into longer buffers."""
    con.execute(
        "CREATE TABLE t AS SELECT i, list_transform(range(i % 5 + 1), lambda n: n + i) AS x FROM range(10000) t(i)"
    )
    given = column("SELECT predict('mean', x) FROM t WHERE i % 7 = 3 ORDER BY i LIMIT 500 OFFSET 100")
    rows = [i for i in range(10_000) if i % 7 == 3][100:600]
    assert given == pytest.approx([i + (i % 5) / 2 for i in rows])


def test_decimals_are_what_duckdb_makes_of_them(con):
    for type, unit in [("DECIMAL(9, 1)", 10), ("DECIMAL(18, 3)", 1000), ("DECIMAL(38, 5)", 100_000)]:
        con.execute(f"CREATE OR REPLACE TABLE d AS SELECT ((i - 5000) / {unit})::{type} AS v FROM range(10000) t(i)")
        assert con.execute("SELECT count(*) FROM d WHERE predict('same_double', v) <> v::DOUBLE").fetchall() == [(0,)]
    assert con.execute("SELECT predict('same_double', -123456789012345678901234567890.5)").fetchone() == (
        -1.2345678901234568e29,
    )
