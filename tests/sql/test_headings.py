"""A column without AS is headed with what the user wrote, not with what DuckDB is given."""

from __future__ import annotations

import pytest

COLUMNS = [
    "predict('iris', i)",
    "predict('iris', *)",
    "predict('iris', pw := pw, pl := pl, sw := sw, sl := sl)",
    "predict_iris(i)",
    "predict_proba('iris', i)['setosa'] > 0.5",
    "upper(predict('iris', i))",
    "predict('iris', i)::VARCHAR",
    "CASE WHEN sl > 5 THEN predict('iris', i) END",
    "(SELECT predict('iris', i))",
    "predict('iris', i) IS DISTINCT FROM 'setosa'",
    "count(*) FILTER (predict('iris', i) = 'setosa') OVER ()",
]


def heads(con, sql):
    return [column[0] for column in con.execute(sql).description]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_is_headed_with_its_text(con, column):
    assert heads(con, f"SELECT sl, {column}, 1 AS x FROM iris i") == ["sl", column, "x"]


def test_a_text_of_several_lines_makes_one_line(con):
    assert heads(con, "SELECT predict('iris',\n    i)\nFROM iris i") == ["predict('iris', i)"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    {
        "SELECT predict('iris', i) p, predict('iris', i) \"q\", r: predict('iris', i) FROM iris i": ["p", "q", "r"],
        "SELECT DISTINCT predict('iris', i) FROM iris i ORDER BY predict('iris', i)": ["predict('iris', i)"],
        "SELECT DISTINCT ON (sl) predict('iris', i) FROM iris i": ["predict('iris', i)"],
        "SELECT predict('iris', i), count(*) n FROM iris i GROUP BY predict('iris', i)": ["predict('iris', i)", "n"],
        "SELECT predict('iris', i) FROM iris i UNION SELECT 'none' ORDER BY ALL": ["predict('iris', i)"],
        "FROM iris i SELECT predict('iris', i), LIMIT 1": ["predict('iris', i)"],
        "SELECT * REPLACE (predict('iris', i) AS sl) FROM iris i": ["sl", "sw", "pl", "pw"],
        "SELECT unnest(infer('iris', i)) FROM iris i": ["label", "probabilities"],
        "SELECT predict('width', COLUMNS('pw|pl')) FROM iris": ["pl", "pw"],
    }.items(),
)
def test_what_has_a_name_keeps_it(con, sql, expected):
    assert heads(con, sql) == expected


def test_a_view_or_a_table_has_columns_of_that_name(con, one):
    con.execute("CREATE VIEW v AS SELECT predict('iris', i) FROM iris i")
    con.execute("CREATE TABLE t AS SELECT round(predict('width', 1.5), 1)")
    assert one("SELECT count(\"predict('iris', i)\") FROM v") == 150
    assert heads(con, "FROM t") == ["round(predict('width', 1.5), 1)"]


def test_rows_that_conflict_are_updated(con, one):
    con.execute("CREATE TABLE kinds (kind VARCHAR PRIMARY KEY, n INT)")
    sql = (
        "INSERT INTO kinds SELECT predict('iris', i), 1 FROM iris i LIMIT 1 "
        "ON CONFLICT DO UPDATE SET kind = predict('iris', 6, 3, 6, 2), n = 2 RETURNING predict('iris', 6, 3, 6, 2), n"
    )
    con.execute(sql)
    assert one("SELECT kind FROM kinds") == "setosa"
