"""What fails says so in the words of sqlinfer, before a row is scored if it can; the session goes on."""

from __future__ import annotations

from typing import Any

import pytest

import sqlinfer.spark
from sqlinfer.errors import (
    CallError,
    EngineError,
    FeatureCount,
    FeatureType,
    MissingFeature,
    ModelNotFound,
    UnknownFeature,
)

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

AT_ONCE = [
    ("predict('iris', 1, 2, 3)", FeatureCount, "takes 4 features, 3 given"),
    ("predict('iris', 'a', 2, 3, 4)", FeatureType, "feature 'sl' is DOUBLE, but the argument is VARCHAR"),
    ("predict('iris', struct(1 AS sl, 2 AS sw, 3 AS pl))", MissingFeature, "pw"),
    ("predict('iris', sl => 1, sw => 2, pl => 3)", MissingFeature, "pw"),
    ("predict('iris', sl => 1, sw => 2, pl => 3, px => 4)", UnknownFeature, "px"),
    ("predict('iris', 1, 2, 3, pw => 4)", CallError, "name every feature or none"),
    ("predict('churn', 1, 2, 3, 4)", FeatureType, r"CAST\(city AS STRING\)"),
    ("predict('width', date'2020-01-01')", FeatureType, "DATE"),
    ("predict('width', timestamp'2020-01-01 00:00:00')", FeatureType, "TIMESTAMP WITH TIME ZONE"),
    ("predict('width', map('a', 1))", FeatureType, "MAP"),
    ("predict('width', interval 1 month)", CallError, "takes nothing of Spark's type interval month"),
    ("predict('nothing', 1)", ModelNotFound, "nothing"),
    ("predict('iris/9', 1)", ModelNotFound, "9"),
    ("predict_proba('width', 1)", ModelNotFound, "predict_proba"),
    ("predict(city, 1)", CallError, "a model that is a constant"),
    ("predict_label('iris', 1, 2, 3, 4)", CallError, "AS STRING"),
    ("skew('iris', 1, 2, 3, 4)", CallError, "Spark has none of it"),
    ("predict_proba('iris', 1, 2, 3, 4, 'rose')", CallError, "rose"),
]


@pytest.mark.parametrize(("call", "error", "says"), AT_ONCE)
def test_before_anything_runs(spark, call, error, says):
    with pytest.raises(error, match=says):
        spark.sql(f"SELECT {call} FROM (SELECT 'Bern' AS city)")
    assert spark.sql("SELECT predict('width', 1)").count() == 1


def test_the_place_is_underlined(spark):
    with pytest.raises(ModelNotFound, match=r"LINE 2:\s+predict\('churm', 1\)\n\s+\^+"):
        spark.sql("SELECT\n  predict('churm', 1)")


def test_names_of_features_in_plain_sql_are_not_bound_by_position(plain, spark):
    with pytest.raises(Exception, match="NAMED_PARAMETERS_NOT_SUPPORTED"):
        spark.session.sql("SELECT predict_iris(sw => 1, sl => 2, pl => 3, pw => 4)")


def test_a_row_that_fails(plain, spark):
    """Its words come first, without the stack of what computed it."""
    with pytest.raises(Exception, match="FeatureType") as caught:
        spark.session.sql("SELECT predict_iris('a', 2, 3, 4)").collect()
    assert "sqlinfer.errors.FeatureType: model 'iris': feature 'sl' is DOUBLE" in str(caught.value)
    rows = "SELECT CAST(id AS DECIMAL(38,0)) * 10000000000000000000 AS x FROM range(0, 3, 1, 2)"
    with pytest.raises(Exception, match="does not fit") as caught:
        spark.sql(f"SELECT predict('same_int', x) FROM ({rows})").collect()
    assert "sqlinfer.errors.FeatureType: model 'same_int': feature 'x' is BIGINT" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 12
    for call in ("TRY(predict('same_int', x))", "try_predict('same_int', x)", "try_predict_same_int(x)"):
        tried = spark.sql(f"SELECT {call} AS x FROM ({rows})")
        assert sorted(map(str, (x for (x,) in tried.collect()))) == ["0", "None", "None"]


def test_columns(spark):
    from pyspark.sql.functions import col, struct

    rows = spark.sql("SELECT 5.1D AS sl, 3.5D AS sw, 1.4D AS pl, 0.2D AS pw, 'a' AS city")
    calls = [
        spark.predict("iris", "sl", "sw", "pl", "pw"),
        spark.predict("iris", pw="pw", PL=col("pl"), sw=col("sw"), sl="sl"),
        spark.predict("iris@default", struct("*")),
        spark.predict_proba("iris/1", "sl", "sw", "pl", "pw")["setosa"] > 0.5,
        spark.infer("width", "pl"),
        spark.try_predict("width", "pl"),
    ]
    assert rows.select(calls[0]).columns == ["predict_iris(sl, sw, pl, pw)"]
    label, by_name, of_row, likely, inferred, tried = rows.select(*calls).first()
    assert (label, by_name, of_row, likely) == ("setosa", "setosa", "setosa", True)
    assert list(inferred.asDict().values()) == [[tried]] or list(inferred.asDict().values()) == [tried]
    for wrong, error in [
        (lambda: spark.predict("iris", "sl", pw="pw"), CallError),
        (lambda: spark.predict("iris", pw="pw"), MissingFeature),
        (lambda: spark.predict("iris", px="pw"), UnknownFeature),
        (lambda: spark.predict("nothing"), ModelNotFound),
        (lambda: spark.predict("iris", "sl", "sw"), FeatureCount),
    ]:
        with pytest.raises(error):
            wrong()


def test_null_policies(plain, tmp_path, onnx_file):
    registry = sqlinfer.Registry(tmp_path)
    file = onnx_file("(float[n, 1] x) => (float[n, 1] y) { y = Identity(x) }")
    policies: dict[str, Any] = {"skips": "null", "misses": "nan", "refuses": "error", "fills": {"x": -1.0}}
    for name, null in policies.items():
        sqlinfer.register(name, file, null=null, registry=registry)
    spark = sqlinfer.spark.attach(plain.newSession(), registry=registry, models=[])
    rows = "(SELECT IF(id = 1, NULL, id) AS x, id FROM range(3)) ORDER BY id"
    ask = (
        f"SELECT predict('skips', x), predict('misses', x), predict('fills', x), TRY(predict('refuses', x)) FROM {rows}"
    )
    assert repr([tuple(row) for row in spark.sql(ask).collect()]) == repr(
        [(0.0, 0.0, 0.0, 0.0), (None, float("nan"), -1.0, None), (2.0, 2.0, 2.0, 2.0)]
    )
    with pytest.raises(Exception, match="NullFeature: model 'refuses'"):
        spark.sql(f"SELECT predict('refuses', x) FROM {rows}").collect()


def test_what_is_no_session():
    pytest.importorskip("pyspark")
    with pytest.raises(EngineError, match="wants a SparkSession, and this is str"):
        sqlinfer.spark.attach("local[2]")
