"""Calls in Spark's SQL: how they may be written, and that DuckDB answers the same."""

from __future__ import annotations

import pyarrow as pa
import pytest

import sqlinfer

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def tables(spark, iris, customers):
    """iris and customers, in several partitions, and of these the first is empty."""
    for name, frame in (("iris", iris.head(30)), ("customers", customers.head(40))):
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        spark.createDataFrame(rows).repartition(3).createOrReplaceTempView(name)


@pytest.fixture
def rows(spark):
    return lambda sql: sorted(map(tuple, spark.sql(sql).collect()), key=repr)


@pytest.fixture
def expected(registry, iris, customers):
    """What DuckDB answers."""

    def ask(sql):
        with sqlinfer.connect(registry=registry) as con:
            con.register("iris", iris.head(30))
            con.register("customers", customers.head(40))
            return sorted(con.execute(sql).fetchall(), key=repr)

    return ask


ASKED = "SELECT predict('iris', sl, sw, pl, pw) FROM iris"


@pytest.mark.parametrize(
    "call",
    [
        "predict('iris', sl, sw, pl, pw)",
        "predict('iris/1', sl, sw, pl, pw)",
        'predict("iris", sl, sw, pl, pw)',
        "predict('iris', c)",
        "predict('iris', c.*)",
        "predict('iris', *)",
        "predict('iris', struct(c.*))",
        "predict('iris', named_struct('PW', pw, 'sl', sl, 'sw', sw, 'pl', pl, 'other', 1))",
        "predict('iris', pw => pw, sl => sl, pl => pl, sw => `sw`)",
        "predict_iris(sl, sw, pl, pw)",
        "predict_iris(c)",
        "predict_iris(struct(*))",
        "PREDICT('Iris', sl, sw, pl, pw)",
    ],
)
def test_every_way_to_give_features(rows, expected, call):
    assert rows(f"SELECT {call} FROM iris c") == expected(ASKED)


P = "predict('iris', c)"


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("SELECT predict_proba('iris@careful', c)['setosa'] FROM iris c", None),
        ("SELECT predict_proba('iris', *, 'setosa') FROM iris", "SELECT predict_proba('iris', *)['setosa'] FROM iris"),
        ("SELECT predict_proba('iris', sl, sw, pl, pw, 'setosa') FROM iris", None),
        ("SELECT predict_proba_iris(c).setosa FROM iris c", "SELECT predict_proba('iris', c)['setosa'] FROM iris c"),
        ("SELECT predict('churn', c), predict('risk', *), predict('offer', c) FROM customers c", None),
        ("SELECT pl, predict('width', predict('width', pl)) AS p FROM iris WHERE predict('width', pl) > 0.5", None),
        (f"SELECT {P}, count(*) FROM iris AS c GROUP BY {P} HAVING count(*) > 1", None),
        ("WITH t AS (SELECT * FROM iris) SELECT predict('iris', t) FROM t ORDER BY predict('width', t.pl)", None),
        ("SELECT max(predict('width', pl)) OVER (PARTITION BY pw) FROM iris", None),
        ("SELECT count(*) FROM iris WHERE EXISTS (SELECT 1 FROM customers c WHERE predict('churn', c))", None),
        ("FROM iris |> SELECT predict('width', pl) |> LIMIT 99", "SELECT predict('width', pl) FROM iris"),
        ("SELECT predict('width', 2.5D), predict('width', 2L)", "SELECT predict('width', 2.5), predict('width', 2)"),
        ("SELECT predict('width', i) FROM iris i", "SELECT predict('width', pl) FROM iris"),
    ],
)
def test_calls_stand_wherever_an_expression_stands(rows, expected, sql, same):
    assert rows(sql) == expected(same or sql)


def test_columns_are_called_what_the_user_wrote(spark):
    frame = spark.sql("SELECT predict('iris', c), predict('width', pl) + 1, predict_iris(c) AS p FROM iris c")
    assert frame.columns == ["predict('iris', c)", "predict('width', pl) + 1", "p"]
    assert [kind for _, kind in frame.dtypes] == ["string", "double", "string"]


def test_a_column_is_before_a_table_of_its_name(spark):
    """As everywhere in Spark's SQL, where a name alone is a column."""
    t = "SELECT named_struct('sl', 9, 'sw', 9, 'pl', 9, 'pw', 9) AS t, 1 AS sl, 1 AS sw, 1 AS pl, 1 AS pw"
    big, small = spark.sql(f"SELECT predict('iris', t), predict('iris', t.*) FROM ({t}) AS t").first()
    assert (big, small) == ("virginica", "setosa")


def test_parameters(spark):
    frame = spark.sql("SELECT predict('iris', c) AS p FROM {rows} c", rows=spark.table("iris"))
    assert frame.first() == ("setosa",)
    (width,) = spark.sql("SELECT predict('width', :x)", args={"x": 2.5}).first()
    assert (width,) == spark.sql("SELECT predict('width', 2.5D)").first()
    features = "sw => ?, sl => ?, pw => ?, pl => ?"
    assert spark.sql(f"SELECT predict('iris', {features})", args=[3.1, 4.9, 0.2, 1.5]).first()[0] == "setosa"
