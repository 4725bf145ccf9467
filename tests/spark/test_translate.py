"""What translate() makes of DuckDB's SQL answers the same on Spark, or is an error."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sqlinfer
import sqlinfer.spark
from sqlinfer.errors import SqlinferError
from sqlinfer.sql.to_spark import to_spark

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
_ROW = re.compile(r"\| `(.+?)` \| (.+?) \| (.+?) \| (same|error) \|")
TABLE = [tuple(found.groups()) for found in map(_ROW.fullmatch, PAGE.read_text(encoding="utf-8").splitlines()) if found]


def test_there_is_a_table():
    assert len(TABLE) == 32


@pytest.mark.parametrize(("expression", "on_duckdb", "on_spark", "translated"), TABLE)
def test_the_table_of_the_page(plain, expression, on_duckdb, on_spark, translated):
    query = f"SELECT {expression}".replace(r"\|", "|")
    with duckdb.connect() as con:
        expected = answer(lambda: con.execute(query).fetchall())
    assert expected == on_duckdb.strip("`")
    assert answer(lambda: plain.sql(query).collect()) == on_spark
    found = answer(lambda: plain.sql(to_spark(query)).collect())
    assert found == (expected if translated == "same" else "error")


def answer(ask: Any) -> str:
    try:
        ((value,),) = ask()
    except Exception:
        return "error"
    if isinstance(value, Decimal):
        value = float(value) if value % 1 else int(value)
    return str(value).replace("\n", "⏎")


ROWS = pa.table(
    {
        "id": [1, 2, 3, 4],
        "i": pa.array([-7, 3, None, 0], pa.int32()),
        "d": [2.5, float("nan"), -0.5, float("inf")],
        "m": pa.array([Decimal("1.25"), Decimal("-9.99"), Decimal("0.05"), Decimal("2.50")], pa.decimal128(5, 2)),
        "f": pa.array([0.1, 0.7, None, 2.5], pa.float32()),
        "s": ["a", "Ä", None, "b\\c"],
        "b": [True, False, None, True],
        "l": [[1, 2], [], None, [3]],
        "pl": [1.4, 4.5, 5.1, None],
        "day": [date(2024, 2, 29)] * 4,
        "tiny": pa.array([127] * 4, pa.int8()),
        "wide": pa.array([Decimal(1)] * 4, pa.decimal128(30, 10)),
    }
)
SAME = """
SELECT i / 2, i / id, d / 2, m / 3, i / (id / 2) FROM t ORDER BY id
SELECT i % 3, m % 1, m * m, m + 1, m * 1.5, m - i, m * d FROM t ORDER BY id
SELECT id FROM t ORDER BY d, id
SELECT id FROM t ORDER BY d DESC, i DESC
SELECT id FROM t ORDER BY s, b DESC
SELECT min(d), max(d), min(i), max(s), count(i), count(*), sum(i), avg(i), avg(pl), sum(m), count(DISTINCT b) FROM t
SELECT l[1], l[2], l[-1], {'a': id, 'b': s}, [id, i] FROM t ORDER BY id
SELECT s || 'x', s || i, b || 'x', b::VARCHAR, count(*) OVER ()::VARCHAR FROM t ORDER BY id
SELECT 'a\\b', 'it''s', "s", ID, s LIKE '_', s LIKE 'b%' FROM T ORDER BY "id"
SELECT d::INTEGER, m::INTEGER, i::BIGINT, b::INTEGER, f::INTEGER FROM t WHERE id IN (1, 3) ORDER BY id
SELECT f::DOUBLE > 0.7, f::DOUBLE * 2, id + 1, i = 3, s = 'a', id * 0.1, i = d, m = d FROM t ORDER BY id
SELECT i IN (3, NULL), i NOT IN (3), i IS NULL, b IS TRUE, i BETWEEN -8 AND 0, d = d FROM t ORDER BY id
SELECT i IS DISTINCT FROM 3, i IS NOT DISTINCT FROM NULL, NOT b, b AND i > 0, b OR i > 0 FROM t ORDER BY id
SELECT CASE WHEN i > 0 THEN 'p' WHEN i < 0 THEN 'n' END, coalesce(i, 9), nullif(i, 3), if(b, 1, 2) FROM t ORDER BY id
SELECT CASE s WHEN 'a' THEN 1 WHEN 'b' THEN 2 ELSE 3 END, round(d), round(m), sqrt(id), abs(i) FROM t ORDER BY id
SELECT sum(i) OVER (ORDER BY id), row_number() OVER (ORDER BY d DESC), lag(i) OVER (ORDER BY id) FROM t ORDER BY id
SELECT b, count(*) AS n, count(*) FILTER (i > 0), sum(i) FILTER (id > 1) FROM t GROUP BY ALL HAVING n > 0 ORDER BY b
FROM t SELECT * EXCLUDE (l, f, day, wide) WHERE id = 1
SELECT a.id, c.n FROM t a LEFT JOIN (SELECT i, count(*) n FROM t GROUP BY i) c ON a.i = c.i ORDER BY a.id
SELECT t.id, n FROM t JOIN (SELECT id, i AS n FROM t) u ON t.id = u.id WHERE EXISTS (FROM t x WHERE x.b) ORDER BY t.id
WITH u AS (SELECT id FROM t WHERE b UNION ALL SELECT 9), v AS (FROM u WHERE id > 1) FROM v ORDER BY 1 DESC
SELECT DISTINCT b, year(DATE '2024-02-29') FROM t ORDER BY b LIMIT 2 OFFSET 1
SELECT x, y FROM (VALUES (1, 'a'), (2, NULL)) v(x, y) ORDER BY x
SELECT predict('width', pl), predict('width', pl := pl), predict('width', {'PL': pl}) FROM t ORDER BY id
SELECT predict('width/1', c), predict('width', c.pl) + 1, predict('width', *) > 1 FROM t c ORDER BY id
SELECT TRY(predict('same_int', d)), predict_proba('iris', i, id, pl, id, 'setosa') FROM t ORDER BY id
SELECT predict_proba('digit', id, id, id, id)[1], predict_iris(1, 2, 3, 4) FROM t ORDER BY id
""".strip().splitlines()


@pytest.fixture(scope="module")
def both(spark, registry, tmp_path_factory):
    """Spark reasons about what comes from files."""
    file = tmp_path_factory.mktemp("rows") / "t.parquet"
    pq.write_table(ROWS, file)
    spark.read.parquet(str(file)).createOrReplaceTempView("t")
    with sqlinfer.connect(registry=registry) as con:
        con.register("t", ROWS)
        yield con, spark


@pytest.mark.parametrize("sql", SAME)
def test_answers_the_same(both, sql):
    con, spark = both
    translated = sqlinfer.spark.translate(sql, registry=spark.registry)
    expected = con.execute(sql).fetchall()
    assert list(map(shown, spark.sql(translated).collect())) == list(map(shown, expected))


def shown(value: Any) -> Any:
    if hasattr(value, "asDict"):
        value = tuple(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in value]
    return float(value) if isinstance(value, Decimal) else repr(value)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT strftime(d, '%Y') FROM t", r"STRFTIME\(d, '%Y'\) is not translated for Spark"),
        ("SELECT a FROM t ASOF JOIN u USING (a)", "Spark has no ASOF JOIN"),
        ("SELECT a FROM t NATURAL JOIN u", "Spark has no NATURAL JOIN"),
        ("SELECT * FROM t JOIN u USING (a)", "write ON|name the columns"),
        ("SELECT b FROM t JOIN u USING (a)", "write ON"),
        ("SELECT '$x'", r"\$x is not translated"),
        ("SELECT 'a ${spark.app.name}'", r"\$\{spark.app.name\} is not translated"),
        ("SELECT id IN (SELECT i FROM t) FROM t", "a NULL among the rows"),
        ("SELECT -id AS id FROM t ORDER BY id + 0", "name the table"),
        ("SELECT id FROM t ORDER BY 'x'", "orders nothing"),
        ("FROM t UNION ALL FROM u", "name the columns"),
        ("SELECT a FROM t INTERSECT SELECT a FROM u", "WHERE EXISTS"),
        ("SELECT a FROM t EXCEPT SELECT a FROM u", "WHERE NOT EXISTS"),
        ("SELECT '1.5f'::DOUBLE", "read other texts as numbers"),
        ("SELECT '2024'::DATE", "write a date whole"),
        ("SELECT year('2024-01-05')", "cast it"),
        ("SELECT '5' / 2", "is a text, and is computed with"),
        ("SELECT count(a, b) FROM t", "counts one expression"),
        ("SELECT {'a': 1, 'A': 2}", "two fields"),
        ("SELECT [x for x in l] FROM t", "x FOR x IN l"),
        ("SELECT DISTINCT ON (a) b FROM t", "row_number"),
        ("SELECT a FROM t QUALIFY rank() OVER () = 1", "subquery"),
        ("SELECT * REPLACE (1 AS a) FROM t", "REPLACE"),
        ("SELECT l[i], l[0] FROM t", "begins at 1"),
        ("SELECT a FROM t USING SAMPLE 10%", "sample"),
        ("SELECT s LIKE s FROM t", "a constant"),
        ("SELECT x::DECIMAL(5,2) FROM t", "round DECIMALs"),
        ("SELECT unnest(l) FROM t", "UNNEST"),
        ("FROM range(3)", "other functions of tables"),
        ("FROM 'x.csv'", "read_parquet"),
        ("PIVOT t ON a USING sum(b)", "one query"),
        ("INSERT INTO t SELECT 1", "one query"),
        ("SELECT 1; SELECT 2", "one query"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n) FROM r", "other rules"),
        ("SELECT my_function(a) FROM t", r"(?i)my_function"),
        ("SELECT predict('nothing', a) FROM t", "no model"),
    ],
)
def test_what_is_refused_is_named(registry, sql, says):
    with pytest.raises(SqlinferError, match=says):
        sqlinfer.spark.translate(sql, registry=registry)


OTHER_TYPES = """
SELECT f > 0.7 FROM t
SELECT f / 3 FROM t
SELECT d || 'x' FROM t
SELECT avg(m) FROM t
SELECT id FROM t WHERE f = 0.7
SELECT CASE WHEN f = 0.7 THEN 'y' ELSE 'n' END FROM t
SELECT sum(CASE WHEN f = 0.7 THEN 1 END) FROM t
SELECT id FROM t WHERE f IN (0.7, 0.1)
SELECT t.id FROM t JOIN (SELECT 0.1 AS g UNION ALL SELECT 0.7) z ON t.f = z.g
SELECT CASE f WHEN 0.1 THEN 1 ELSE 0 END FROM t
SELECT id FROM t WHERE 0.1 IN (SELECT f FROM t)
SELECT (SELECT max(f) FROM t) = 0.7
SELECT f FROM t UNION ALL SELECT id FROM t
SELECT f FROM t UNION SELECT 0.1
SELECT [f, 0.1] FROM t
SELECT id FROM t ORDER BY l
SELECT max(l) FROM t
SELECT l < [1, 2] FROM t
SELECT id FROM t WHERE m = '1.254'
SELECT day - day FROM t
SELECT tiny + 100 FROM t
SELECT s + 1, -s FROM t
SELECT abs(s) FROM t
SELECT sum(s) FROM t
SELECT avg(b) FROM t
SELECT wide * wide FROM t
SELECT wide = id FROM t
""".strip().splitlines()


@pytest.mark.parametrize("sql", OTHER_TYPES)
def test_a_type_that_the_text_does_not_tell(both, sql):
    _, spark = both
    with pytest.raises(Exception, match=r"sqlinfer: .* is not what it is on DuckDB"):
        spark.sql(sqlinfer.spark.translate(sql)).collect()


def test_a_file(plain, tmp_path):
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 1 AS x UNION ALL SELECT 2) TO '{tmp_path}/f.parquet'")
    for table in (f"'{tmp_path}/f.parquet'", f"read_parquet('{tmp_path}/f.parquet')"):
        assert plain.sql(sqlinfer.spark.translate(f"SELECT sum(x) FROM {table}")).first()[0] == 3
